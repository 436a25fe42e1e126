package log

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/secret"
)

// seal encrypts one component's segments under its project's key.
type seal struct {
	sealer  *secret.Sealer
	project string
	about   []byte
}

// sealOf is for a component's folder, DIR/PROJECT/COMPONENT.
func (s *Store) sealOf(dir string) seal {
	return seal{s.Sealer, filepath.Base(filepath.Dir(dir)), []byte("log " + filepath.Base(dir))}
}

func (s seal) frame(lines []byte) ([]byte, error) {
	return s.sealer.Frame(nil, s.project, lines, s.about)
}

func (s seal) open(r io.Reader) *secret.Frames { return s.sealer.Frames(r, s.project, s.about) }

// compress makes a packed segment of a plain one.
func (s seal) compress(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	return s.write(to, func(w io.Writer) error {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			return err
		}
		_, err = io.Copy(z, s.open(in))
		return errors.Join(err, z.Close())
	})
}

// write makes a sealed file, or none.
func (s seal) write(file string, fill func(io.Writer) error) error {
	out, err := os.OpenFile(file+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	w := s.sealer.Framing(out, s.project, s.about)
	if err = errors.Join(fill(w), w.Close()); err == nil {
		err = out.Sync()
	}
	if err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}

// read gives the lines of a segment (its path without suffix) from a line on, with their numbers, until f says no. more
// is false when f did.
func (s seal) read(path string, from int, f func(n int, l Line) bool) (more bool, err error) {
	file, err := os.Open(path + packed)
	var in io.Reader
	if err == nil {
		z, zerr := zstd.NewReader(s.open(bufio.NewReader(file)), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if zerr != nil {
			_ = file.Close()
			return false, zerr
		}
		defer z.Close()
		in = z
	} else if os.IsNotExist(err) {
		if file, err = os.Open(path + plain); err != nil {
			if os.IsNotExist(err) {
				return true, nil // removed meanwhile
			}
			return false, err
		}
		in = s.open(bufio.NewReader(file))
	} else {
		return false, err
	}
	defer func() { _ = file.Close() }()
	r := bufio.NewReaderSize(in, 64<<10)
	for n := 0; ; n++ {
		text, err := r.ReadString('\n')
		if err == io.EOF {
			return true, nil // a line without its end is not whole yet
		}
		if err != nil {
			return false, err
		}
		if n < from {
			continue
		}
		if l, ok := parse(strings.TrimSuffix(text, "\n")); ok && !f(n, l) {
			return false, nil
		}
	}
}

// Segments of versions that did not encrypt.
const (
	olderPlain  = ".log"
	olderPacked = ".log.zst"
)

// sealOlder encrypts what earlier versions wrote in the clear. It may be cut short and begun again.
func (s *Store) sealOlder() error {
	for _, suffix := range [][2]string{{olderPacked, packed}, {olderPlain, plain}} {
		found, err := filepath.Glob(filepath.Join(s.Dir, "*", "*", "*"+suffix[0]))
		if err != nil {
			return err
		}
		for _, file := range found {
			to := strings.TrimSuffix(file, suffix[0]) + suffix[1]
			err := s.sealOf(filepath.Dir(file)).write(to, func(w io.Writer) error {
				in, err := os.Open(file)
				if err != nil {
					return err
				}
				defer func() { _ = in.Close() }()
				_, err = io.Copy(w, in)
				return err
			})
			if err == nil {
				if st, serr := os.Stat(file); serr == nil { // its age counts
					_ = os.Chtimes(to, st.ModTime(), st.ModTime())
				}
				err = os.Remove(file)
			}
			if err != nil {
				return fail.Wrap(err, fail.Unavailable, "logs of an earlier version cannot be encrypted")
			}
		}
	}
	return nil
}
