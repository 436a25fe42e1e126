package cloud

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/test/cloudtest"
)

const policies = "/projects/-/app/scaling-policies"

// asleep starts a real cloud with an app that may sleep.
func asleep(t *testing.T) (*client, string) {
	c := open(t)
	files, cmd := cloudtest.Web("awake")
	c.push("library/web:1", files, cmd...)
	if j := c.finish("POST", components, map[string]any{"name": "web", "spec": map[string]any{"source": map[string]any{"image": "library/web:1"}, "memory": 32}}); j.State != "succeeded" {
		t.Fatalf("%+v %v", j, j.Error)
	}
	var made struct {
		Resource struct{ Status struct{ Replicas, Max int } }
	}
	c.do("POST", policies, map[string]any{"name": "web", "spec": map[string]any{"component": "web", "min": 0, "max": 3, "idle": "10s"}}, &made)
	if made.Resource.Status.Max != 3 || made.Resource.Status.Replicas != 1 {
		t.Errorf("the policy says at once what holds: %+v", made.Resource.Status)
	}
	return c, c.component("web").Status.URL
}

func (c *client) scale(n int) {
	c.t.Helper()
	if j := c.finish("POST", components+"/web/actions/scale", map[string]any{"replicas": n}); j.State != "succeeded" {
		c.t.Errorf("scale to %d: %+v %v", n, j, j.Error)
	}
}

// idle waits until no job works on the app.
func (c *client) idle() {
	c.t.Helper()
	cloudtest.Wait(c.t, time.Minute, func() string {
		if got := c.component("web"); got.State != "active" || got.Status.Ready != 1 {
			return "the app is " + got.State
		}
		return ""
	})
}

func TestARequestWakesAnAppThatSleeps(t *testing.T) {
	c, url := asleep(t)
	for range 2 {
		c.scale(0)
		if got := c.component("web"); len(got.Status.Instances) != 0 {
			t.Fatalf("it does not sleep: %+v", got)
		}
		begin := time.Now()
		if code, body := c.get(url); code != 200 || body != "awake" {
			t.Fatalf("%d %q", code, body)
		}
		t.Logf("the first answer came after %s", time.Since(begin))
		c.idle()
	}
	load := c.load(url, 4) // who asks all the time sees no failure when it is sent to sleep
	c.scale(0)
	c.idle()
	load.end(20)

	var events struct {
		Items []struct{ Type, Text string }
	}
	c.do("GET", components+"/web/events", nil, &events)
	text := ""
	for _, e := range events.Items {
		text += e.Type + " " + e.Text + "\n"
	}
	for _, want := range []string{"Scaled from 0 to 1 instances: a request came", "Scaled from 1 to 0 instances: by admin"} {
		if !strings.Contains(text, want) {
			t.Errorf("no event %q in\n%s", want, text)
		}
	}
	c.scale(0)
	if j := c.finish("DELETE", policies+"/web", nil); j.State != "succeeded" {
		t.Errorf("%+v %v", j, j.Error)
	}
	c.idle() // without its policy nothing would wake it
}

func TestAnAppThatNobodyAsksSleeps(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("takes half a minute: AWAN_LONG=1 runs it")
	}
	c, url := asleep(t)
	cloudtest.Wait(t, 2*time.Minute, func() string {
		if got := c.component("web"); len(got.Status.Instances) > 0 {
			return "an instance runs"
		}
		return ""
	})
	if code, body := c.get(url); code != 200 || body != "awake" {
		t.Errorf("%d %q", code, body)
	}
}
