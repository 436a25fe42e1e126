package cloud

import (
	"errors"
	"os"

	"github.com/awancloud/awan/catalog"
	disks "github.com/awancloud/awan/internal/engine/disk/sim"
	fabric "github.com/awancloud/awan/internal/engine/fabric/sim"
	images "github.com/awancloud/awan/internal/engine/image/sim"
	machines "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/image"
)

// simulate gives the cloud networks, disks and machines that exist in memory only: for trying out clients and plans, and for a
// thousand servers. Everything above them is the cloud's own.
func (c *Cloud) simulate(e *Engines) error {
	entries, err := image.ReadCatalog(catalog.Files())
	if err != nil {
		return err
	}
	var recipes []string
	for _, entry := range entries {
		if entry.Recipe != "" {
			recipes = append(recipes, entry.Recipe)
		}
	}
	e.Fabric, e.Machine = fabric.New(fabric.Options{}), machines.New(machines.Options{})
	e.Disk, e.Images = disks.New(disks.Options{Bytes: 1 << 50}), images.Maker{Names: recipes}
	c.Log.Warn("servers, networks and disks are simulated: nothing runs, and all of it is gone when this process ends")
	return nil
}

// checkSimulated refuses a data folder that was begun: what is simulated does not outlive its process, so rows would speak of nothing.
func (c *Cloud) checkSimulated() error {
	if !c.Simulate {
		return nil
	}
	if _, err := os.Stat(c.path("store")); !errors.Is(err, os.ErrNotExist) {
		return fail.New(fail.Precondition, "%s holds a cloud already, and a simulated one begins anew each time", c.Data).Then("choose a new folder with --data DIR")
	}
	return nil
}
