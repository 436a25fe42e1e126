package secret_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// TestFrames: what was appended reads back; what a crash cut off ends the file, what was changed is left out, and nobody
// else's key opens any of it.
func TestFrames(t *testing.T) {
	s := sealer(t, t.TempDir())
	pieces := []string{"one\n", strings.Repeat("x", 600<<10) + "\n", "three\n"}
	var file []byte
	var starts []int
	for _, p := range pieces {
		starts = append(starts, len(file))
		var err error
		if file, err = s.Frame(file, "p", []byte(p), []byte("log")); err != nil {
			t.Fatal(err)
		}
	}
	read := func(file []byte, project, aad string) (string, int64) {
		f := s.Frames(bytes.NewReader(file), project, []byte(aad))
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b), f.Whole()
	}
	if got, whole := read(file, "p", "log"); got != strings.Join(pieces, "") || whole != int64(len(file)) {
		t.Errorf("%d bytes, %d of %d whole", len(got), whole, len(file))
	}
	if got, whole := read(file[:len(file)-3], "p", "log"); got != pieces[0]+pieces[1] || whole != int64(starts[2]) {
		t.Errorf("cut: %d bytes, %d whole", len(got), whole)
	}
	changed := bytes.Clone(file)
	changed[starts[0]+30] ^= 1
	if got, _ := read(changed, "p", "log"); got != pieces[1]+pieces[2] {
		t.Errorf("changed: %d bytes", len(got))
	}
	for _, other := range [][2]string{{"q", "log"}, {"p", "other"}} {
		if got, _ := read(file, other[0], other[1]); got != "" {
			t.Errorf("%v opened it", other)
		}
	}
	var out bytes.Buffer
	w := s.Framing(&out, "p", []byte("log"))
	for _, p := range pieces {
		if _, err := io.WriteString(w, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := read(out.Bytes(), "p", "log"); got != strings.Join(pieces, "") {
		t.Errorf("written: %d bytes", len(got))
	}
}
