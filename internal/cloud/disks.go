package cloud

import (
	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/engine/base/picture"
	"github.com/awancloud/awan/internal/engine/disk/file"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/disk"
)

// openDisks opens what volumes and images lie in, and what makes the catalogue's images. Where a program is missing, just that
// is switched off.
func (c *Cloud) openDisks(e *Engines) (closers []func() error) {
	d, err := file.Open(file.Options{Dir: c.path("disks"), Log: c.Log})
	if err != nil {
		c.Log.Warn("there are no volumes and images", "why", fail.From(err).Public(), "err", err)
		e.Disk = disk.Absent{Why: err}
	} else {
		e.Disk = d
		closers = append(closers, d.Close)
	}
	m, err := picture.New(picture.Options{Dir: c.path("bases", "machines"), Catalog: catalog.Files(), Log: c.Log})
	if err != nil {
		c.Log.Warn("the catalogue's images cannot be made", "err", err)
		return closers
	}
	e.Images = m
	return closers
}
