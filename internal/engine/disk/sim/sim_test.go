package sim_test

import (
	"testing"

	"github.com/awancloud/awan/internal/engine/disk/sim"
	"github.com/awancloud/awan/internal/service/disk/disktest"
	"github.com/awancloud/awan/internal/service/machine"
)

func TestContract(t *testing.T) {
	disktest.Run(t, func(*testing.T) disktest.Subject {
		e := sim.New(sim.Options{})
		return disktest.Subject{Engine: e,
			Write: func(d machine.Drive, off int64, b []byte) error { return e.WriteAt(d, b, off) },
			Read: func(d machine.Drive, off int64, n int) ([]byte, error) {
				b := make([]byte, n)
				return b, e.ReadAt(d, b, off)
			}}
	})
}
