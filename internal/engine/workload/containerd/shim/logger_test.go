package shim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func read(t *testing.T, dir string) (lines []string, bytes int64) {
	t.Helper()
	seqs, err := LogFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range seqs {
		b, err := os.ReadFile(LogFile(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		bytes += int64(len(b))
		lines = append(lines, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	}
	return lines, bytes
}

// pipe is a FIFO with its logger's end open, and a writer.
func pipe(t *testing.T, l *Logger, stream string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), stream)
	f, err := openFIFO(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Read(stream, f)
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestLinesAreCutAndStamped(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLogger(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := pipe(t, l, "stdout")
	fmt.Fprint(w, "one\ntw")
	fmt.Fprint(w, "o\n"+strings.Repeat("x", LineBytes+10)+"\nunfinished")
	l.Drain(5 * time.Second)
	l.Close()
	lines, _ := read(t, dir)
	var got []string
	for _, s := range lines {
		f := strings.SplitN(s, " ", 3)
		if at, err := time.Parse(time.RFC3339Nano, f[0]); err != nil || time.Since(at) > time.Minute || f[1] != "stdout" {
			t.Errorf("line %.60q", s)
		}
		got = append(got, f[2])
	}
	want := []string{"one", "two", strings.Repeat("x", LineBytes), strings.Repeat("x", 10), "unfinished"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%d lines: %.80q", len(got), got)
	}
	// The next writer goes on in the same file.
	l, err = OpenLogger(dir)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(pipe(t, l, "stderr"), "again\n")
	l.Drain(5 * time.Second)
	l.Close()
	if lines, _ := read(t, dir); len(lines) != 6 || !strings.HasSuffix(lines[5], " stderr again") {
		t.Errorf("%d lines", len(lines))
	}
}

func TestFloodIsBoundedAndKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLogger(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.rate = 1 << 40 // the rate is another test's
	w := pipe(t, l, "stdout")
	line := bytes.Repeat([]byte("flood "), 100)
	const n = 60_000
	for i := range n {
		if _, err := fmt.Fprintf(w, "%s%d\n", line, i); err != nil {
			t.Fatal(err)
		}
	}
	l.Drain(20 * time.Second)
	l.Close()
	lines, size := read(t, dir)
	if size > Files*FileBytes {
		t.Errorf("%d bytes are kept", size)
	}
	if !strings.HasSuffix(lines[len(lines)-1], fmt.Sprintf(" %d", n-1)) {
		t.Errorf("the newest line is %.80q", lines[len(lines)-1])
	}
	if size < (Files-1)*FileBytes/2 {
		t.Errorf("only %d bytes are kept", size)
	}
}

func TestWriterIsSlowedNotTheFile(t *testing.T) {
	l, err := OpenLogger(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l.allow = 0
	w := pipe(t, l, "stdout")
	begin := time.Now()
	for range 20 {
		if _, err := w.Write(append(bytes.Repeat([]byte("y"), 99_999), '\n')); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("2 MB went at once, in %v", took)
	}
	l.Close()
}

func TestFIFOIsReused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openFIFO(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
