package cloud

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/network"
)

// running makes a data folder that a process serves, as far as others can see, until the test ends or stop is called.
func running(t *testing.T) (data string, stop func()) {
	t.Helper()
	data = t.TempDir()
	cmd := exec.Command("sh", "-c", "read x", "sh", "up", "x") // waits for its input
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, pidFile), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	stop = func() { in.Close(); _ = cmd.Wait() }
	t.Cleanup(stop)
	return data, stop
}

// TestTwoCloudsOfAMachineShareNoPublicAddress: the second chooses another range by itself, and keeps it; a range that the
// operator names and another cloud has is refused, until that cloud is gone.
func TestTwoCloudsOfAMachineShareNoPublicAddress(t *testing.T) {
	dir := t.TempDir()
	first, end := running(t)
	second, _ := running(t)
	take := func(key, data string, named ...string) (string, error) {
		var pools []network.Pool
		for _, n := range named {
			pools = append(pools, network.Pool{Name: "public", Prefix: netip.MustParsePrefix(n)})
		}
		got, own, err := takePublic(dir, key, data, pools)
		if err != nil {
			return "", err
		}
		if own != (len(named) == 0) || got[0].Name != network.DefaultPublic.Name {
			t.Errorf("%+v, own %v", got, own)
		}
		return got[0].Prefix.String(), nil
	}
	want := func(key, data, prefix string) {
		t.Helper()
		if got, err := take(key, data); err != nil || got != prefix {
			t.Errorf("it takes %q, not %s: %v", got, prefix, err)
		}
	}
	want("zzzza1", first, "172.29.0.0/22")
	want("zzzzb2", second, "172.29.4.0/22")
	want("zzzza1", first, "172.29.0.0/22") // again
	if _, err := take("zzzzc3", t.TempDir(), "172.29.4.0/24"); !fail.Is(err, fail.Invalid) || !strings.Contains(fail.From(err).Public(), second) {
		t.Errorf("a range that another has: %v", err)
	}
	if got, err := take("zzzzc3", t.TempDir(), "203.0.113.0/24"); err != nil || got != "203.0.113.0/24" {
		t.Errorf("a range of its own: %v %v", got, err)
	}
	end()
	third, _ := running(t)
	want("zzzzd4", third, "172.29.0.0/22") // nobody has it any more
	if _, err := take("zzzza1", first); !fail.Is(err, fail.Conflict) || !strings.Contains(fail.From(err).Public(), third) {
		t.Errorf("its range was taken meanwhile: %v", err)
	}
	if err := dropPublic(dir, "zzzzd4"); err != nil {
		t.Fatal(err)
	}
	want("zzzza1", first, "172.29.0.0/22")
}
