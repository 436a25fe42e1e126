package chaos

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/awancloud/awan/test/cloudtest"
)

// TestCloudsSideBySide runs two clouds on one machine, each with an app of the same name; what becomes of one is nothing
// to the other.
func TestCloudsSideBySide(t *testing.T) {
	bin := cloudtest.Binary(t, t.TempDir())
	var clouds [2]*cloudtest.Process
	var clients [2]*cloudtest.Client
	var urls [2]string
	says := func(i int) string { return fmt.Sprintf("cloud %d", i) }
	answers := func(i int) {
		t.Helper()
		cloudtest.Wait(t, 5*time.Second, func() string {
			if code, body := clients[i].Get(urls[i]); body != says(i) {
				return fmt.Sprintf("the app of cloud %d answers %d %q", i, code, body)
			}
			return ""
		})
	}
	for i := range clouds {
		dir, err := os.MkdirTemp(t.TempDir(), "cloud")
		if err != nil {
			t.Fatal(err)
		}
		clouds[i] = cloudtest.New(t, bin, dir, "--log-level", "warn")
		clouds[i].Start()
		clients[i] = clouds[i].Admin()
		clients[i].PushWeb("web:1", says(i))
		urls[i] = clients[i].Deploy("web", "web:1", nil).Status.URL
	}
	if clouds[0].Key() == clouds[1].Key() || clouds[0].Addr() == clouds[1].Addr() {
		t.Fatalf("both clouds are %s at %s", clouds[0].Key(), clouds[0].Addr())
	}
	answers(0)
	answers(1)
	if _, err := clients[1].LogInAs(clients[0].Token); err == nil {
		t.Error("a token of one cloud is good in the other")
	}
	before := clouds[1].Containers()
	clouds[0].Stop()
	answers(1)
	clouds[0].Start() // again, beside the other
	answers(0)
	clouds[0].Purge()
	if left := clouds[0].Containers(); len(left) != 0 {
		t.Errorf("after the purge %v run", left)
	}
	answers(1)
	clients[1].Must("POST", clients[1].Components()+"/web/actions/scale", map[string]any{"replicas": 2})
	answers(1)
	after := clouds[1].Containers()
	for id := range before {
		if len(after[id].Pids) == 0 {
			t.Errorf("container %s went with the other cloud", id)
		}
	}
}
