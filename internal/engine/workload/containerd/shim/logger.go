package shim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What a container's log may take: 4 files of 4 MiB; one that writes faster than Rate for long is made to wait, which
// slows nobody but itself.
const (
	FileBytes = 4 << 20
	Files     = 4
	LineBytes = 16 << 10
	Rate      = 4 << 20 // bytes a second, sustained
	burst     = 8 << 20
	suffix    = ".log"
)

// Logger writes lines "TIME STREAM TEXT" into numbered files of one directory and drops the oldest file over Files.
// The time is that of reading.
type Logger struct {
	dir string

	mu    sync.Mutex // guards what follows; held while writing
	f     *os.File
	seq   int
	size  int64
	rate  float64 // bytes a second
	allow float64 // bytes that may be written now without waiting
	at    time.Time

	closed  chan struct{}
	readers sync.WaitGroup
	sources []*os.File
}

// OpenLogger goes on with the newest file of dir.
func OpenLogger(dir string) (*Logger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l := &Logger{dir: dir, rate: Rate, allow: burst, at: time.Now(), closed: make(chan struct{})}
	seqs, err := LogFiles(dir)
	if err != nil {
		return nil, err
	}
	l.seq = 1
	if len(seqs) > 0 {
		l.seq = seqs[len(seqs)-1]
	}
	return l, l.open()
}

// LogFiles lists the numbers of a directory's log files, oldest first.
func LogFiles(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var seqs []int
	for _, e := range entries {
		if n, err := strconv.Atoi(strings.TrimSuffix(e.Name(), suffix)); err == nil {
			seqs = append(seqs, n)
		}
	}
	sort.Ints(seqs)
	return seqs, nil
}

// LogFile is the path of a directory's file number seq.
func LogFile(dir string, seq int) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", seq, suffix))
}

func (l *Logger) open() error {
	f, err := os.OpenFile(LogFile(l.dir, l.seq), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.f, l.size = f, st.Size()
	return nil
}

// Read takes lines from f until it is closed or the logger is.
func (l *Logger) Read(stream string, f *os.File) {
	l.mu.Lock()
	l.sources = append(l.sources, f)
	l.mu.Unlock()
	l.readers.Add(1)
	go func() {
		defer l.readers.Done()
		l.copy(stream, f)
	}()
}

// copy cuts what it reads into lines. A read never waits for a whole line to be given on, only for its newline.
func (l *Logger) copy(stream string, f *os.File) {
	buf := make([]byte, LineBytes)
	out := make([]byte, 0, 2*LineBytes)
	have := 0
	for {
		n, err := f.Read(buf[have:])
		now := time.Now()
		head := now.UTC().Format("2006-01-02T15:04:05.000000Z ") + stream + " "
		have += n
		rest := buf[:have]
		out = out[:0]
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			out = append(append(append(out, head...), rest[:i]...), '\n')
			rest = rest[i+1:]
		}
		if len(rest) == len(buf) || (err != nil && len(rest) > 0) {
			out = append(append(append(out, head...), rest...), '\n')
			rest = nil
		}
		have = copy(buf, rest)
		l.write(out)
		if err != nil {
			return
		}
	}
}

func (l *Logger) write(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(b) == 0 || l.f == nil {
		return
	}
	l.wait(len(b))
	if l.size+int64(len(b)) > FileBytes && l.size > 0 {
		l.f.Close()
		l.seq++
		if err := l.open(); err != nil {
			l.f = nil // nowhere to write: lines are lost, the container goes on
			return
		}
		l.drop()
	}
	n, _ := l.f.Write(b) // a full disk loses lines, never stops the container
	l.size += int64(n)
}

// wait keeps the writer to Rate; the pipe fills up behind it and the container waits in its own write.
func (l *Logger) wait(n int) {
	now := time.Now()
	l.allow = min(burst, l.allow+now.Sub(l.at).Seconds()*l.rate)
	l.at = now
	l.allow -= float64(n)
	if l.allow >= 0 {
		return
	}
	select {
	case <-l.closed:
	case <-time.After(time.Duration(-l.allow / l.rate * float64(time.Second))):
	}
}

func (l *Logger) drop() {
	seqs, err := LogFiles(l.dir)
	if err != nil {
		return
	}
	for len(seqs) > Files {
		_ = os.Remove(LogFile(l.dir, seqs[0]))
		seqs = seqs[1:]
	}
}

// Drain returns when the readers have taken all there is, or after limit. The FIFOs never end by themselves: the logger
// holds them open for writing too.
func (l *Logger) Drain(limit time.Duration) {
	for end := time.Now().Add(limit); l.waiting() && time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
	}
}

// waiting tells whether a source holds bytes that no reader has taken yet.
func (l *Logger) waiting() bool {
	l.mu.Lock()
	sources := l.sources
	l.mu.Unlock()
	some := false
	for _, f := range sources {
		c, err := f.SyscallConn()
		if err != nil {
			continue
		}
		_ = c.Control(func(fd uintptr) {
			n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
			some = some || (err == nil && n > 0)
		})
	}
	return some
}

// Close ends the readers, writes their unfinished lines and closes the file.
func (l *Logger) Close() {
	l.mu.Lock()
	sources := l.sources
	l.sources = nil
	l.mu.Unlock()
	close(l.closed)
	for _, f := range sources {
		_ = f.Close()
	}
	l.readers.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}
