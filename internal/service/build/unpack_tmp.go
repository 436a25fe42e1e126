package build

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
)

type UnpackLimits struct{}

func DefaultUnpackLimits() UnpackLimits { return UnpackLimits{} }

func Unpack(r io.Reader, dir string, _ UnpackLimits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			_ = root.MkdirAll(h.Name, 0o755)
		case tar.TypeReg:
			f, err := root.Create(h.Name)
			if err != nil {
				return err
			}
			_, _ = io.Copy(f, t)
			_ = f.Close()
		}
	}
}
