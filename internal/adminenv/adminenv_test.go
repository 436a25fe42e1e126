package adminenv_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/adminenv"
)

func TestWhatIsWrittenIsReadByUsAndByAShell(t *testing.T) {
	path := filepath.Join(t.TempDir(), adminenv.File)
	want := map[string]string{adminenv.URL: "https://127.0.0.1:8443", adminenv.Password: `it's $HOME "\quoted" #1`, adminenv.Project: "awan-1"}
	if err := adminenv.Write(path, want); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v %v", info.Mode(), err)
	}
	got, err := adminenv.Read(path)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("read %v %v", got, err)
	}
	out, err := exec.Command("sh", "-c", `. "$0" && printf %s "$AWAN_PASSWORD"`, path).CombinedOutput()
	if err != nil || string(out) != want[adminenv.Password] {
		t.Errorf("the shell reads %q %v", out, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReadingWhatPeopleEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.env")
	for _, tc := range []struct{ text, want, err string }{
		{"AWAN_URL=https://h:1\n", "https://h:1", ""},
		{"# note\n\n  export AWAN_URL=\"https://h:2\"\n", "https://h:2", ""},
		{"export AWAN_URL='a'\\''b'\n", "a'b", ""},
		{"AWAN_URL='open\n", "", "line 1: the value's quotes do not end"},
		{"rm -rf x\n", "", "line 1 is not NAME='value'"},
	} {
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		vars, err := adminenv.Read(path)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q: error %v", tc.text, err)
			}
			continue
		}
		if err != nil || vars[adminenv.URL] != tc.want {
			t.Errorf("%q: %v %v", tc.text, vars, err)
		}
	}
}
