package secret

import (
	"encoding/binary"
	"io"
)

// A sealed file is a row of frames, each a big-endian length of four bytes and what Seal made of at most maxFrame bytes. It
// is made by appending and read from the start, so it suits logs: what a crash leaves of the last frame is not whole, and ends
// the file; a frame that was changed is left out.
const maxFrame = 256 << 10

// Frame appends plain to dst, as one sealed frame or more. It opens with the same project and aad only.
func (s *Sealer) Frame(dst []byte, project string, plain, aad []byte) ([]byte, error) {
	for len(plain) > 0 {
		n := min(len(plain), maxFrame)
		sealed, err := s.Seal(project, plain[:n], aad)
		if err != nil {
			return dst, err
		}
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(sealed))), sealed...)
		plain = plain[n:]
	}
	return dst, nil
}

// Frames reads what the frames of r hold, one behind the other.
func (s *Sealer) Frames(r io.Reader, project string, aad []byte) *Frames {
	return &Frames{s: s, r: r, project: project, aad: aad}
}

// Frames is a reader of a sealed file.
type Frames struct {
	s       *Sealer
	r       io.Reader
	project string
	aad     []byte
	ready   []byte
	whole   int64
}

// Whole is how many bytes of the file were read in whole frames.
func (f *Frames) Whole() int64 { return f.whole }

// Read is io.Reader's. A last frame that is not whole is the end.
func (f *Frames) Read(p []byte) (int, error) {
	for len(f.ready) == 0 {
		var head [4]byte
		if err := f.full(head[:]); err != nil {
			return 0, err
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > maxFrame+1<<10 {
			return 0, io.EOF // what follows is no frame
		}
		sealed := make([]byte, n)
		if err := f.full(sealed); err != nil {
			return 0, err
		}
		f.whole += int64(len(head)) + int64(n)
		if plain, err := f.s.Open(f.project, sealed, f.aad); err == nil {
			f.ready = plain
		}
	}
	n := copy(p, f.ready)
	f.ready = f.ready[n:]
	return n, nil
}

func (f *Frames) full(b []byte) error {
	_, err := io.ReadFull(f.r, b)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return err
}

// Framing writes what it is given to w in frames. Close writes the last of them, and does not close w.
func (s *Sealer) Framing(w io.Writer, project string, aad []byte) io.WriteCloser {
	return &framing{s: s, w: w, project: project, aad: aad}
}

type framing struct {
	s       *Sealer
	w       io.Writer
	project string
	aad     []byte
	buf     []byte
}

func (f *framing) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(maxFrame-len(f.buf), len(p))
		f.buf, p = append(f.buf, p[:n]...), p[n:]
		if len(f.buf) == maxFrame {
			if err := f.Close(); err != nil {
				return total - len(p), err
			}
		}
	}
	return total, nil
}

func (f *framing) Close() error {
	out, err := f.s.Frame(nil, f.project, f.buf, f.aad)
	if err == nil {
		_, err = f.w.Write(out)
	}
	f.buf = f.buf[:0]
	return err
}
