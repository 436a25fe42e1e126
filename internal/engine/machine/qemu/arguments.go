package qemu

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// command is a QEMU command line in the making, with the files that go along. No secret stands on it.
type command struct {
	args  []string
	files fileSet
	sets  int
	keys  map[string][]byte // by file name, which the process reads when it starts
}

func (c *command) add(args ...string) { c.args = append(c.args, args...) }

func (c *command) json(option string, o object) {
	b, _ := json.Marshal(o) // of strings, numbers and such maps only
	c.add(option, string(b))
}

// fd hands an open file over and gives its number in the new process.
func (c *command) fd(set fileSet) []string {
	var out []string
	for _, f := range set {
		out = append(out, strconv.Itoa(3+len(c.files)))
		c.files = append(c.files, f)
	}
	return out
}

// set hands files over as a set that QEMU opens by name.
func (c *command) set(files fileSet) int {
	c.sets++
	for _, fd := range c.fd(files) {
		c.add("-add-fd", "fd="+fd+",set="+strconv.Itoa(c.sets))
	}
	return c.sets
}

// tcgBuffer bounds what translated code takes: MiB.
const tcgBuffer = 64

// overhead is what a process needs beside its guest's memory, at most: MiB.
func overhead(w machine.Want) int64 {
	return 256 + tcgBuffer + 16*int64(len(w.Disks)) + 2*int64(w.CPUs)
}

// describe writes the fixed part.
func (c *command) describe(i id.ID, w machine.Want, accelerator string) {
	kind := w.Machine
	if kind == "" {
		kind = "pc"
	}
	name := w.Name
	if name == "" {
		name = string(i)
	}
	c.add("-name", "guest="+strings.ReplaceAll(name, ",", ",,"), "-nodefaults", "-no-user-config", "-no-shutdown", "-display", "none", "-vnc", "none",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-machine", kind+",usb=off,vmport=off,dump-guest-core=off")
	if accelerator == "kvm" {
		c.add("-accel", "kvm", "-cpu", "host")
	} else {
		c.add("-accel", fmt.Sprintf("tcg,thread=multi,tb-size=%d", tcgBuffer), "-cpu", "max,la57=off")
	}
	c.add("-smp", fmt.Sprintf("cpus=%d,sockets=1,cores=%d,threads=1", w.CPUs, w.CPUs), "-m", fmt.Sprintf("%dM", w.MemoryMiB), "-rtc", "base=utc",
		"-boot", "strict=on")
	if w.UUID != "" {
		u, _ := id.Parse(w.UUID)
		c.add("-uuid", u.Dashed())
	}
	smbios := "type=1,manufacturer=Awan,product=Awan server"
	if w.Serial != "" {
		smbios += ",serial=" + w.Serial
	}
	c.add("-smbios", smbios)
	if k := w.Kernel; k != nil {
		c.add("-kernel", "/boot/kernel")
		if k.Initrd != "" {
			c.add("-initrd", "/boot/initrd")
		}
		c.add("-append", k.Command)
	}
	c.add("-device", "VGA,bus=pci.0,addr=0x2,vgamem_mb=8", "-device", "virtio-serial-pci,id=ports,bus=pci.0,addr=0x3",
		"-object", "rng-builtin,id=rng0", "-device", "virtio-rng-pci,rng=rng0,bus=pci.0,addr=0x4",
		"-device", "virtio-scsi-pci,id=scsi0,bus=pci.0,addr=0x5", "-device", "pci-bridge,id="+diskBus+",chassis_nr=1,bus=pci.0,addr=0x6")
}

// sockets describes the ends that we speak to.
func (c *command) sockets(qmp, line, agent string, log int) {
	c.add("-chardev", "socket,id=qmp,server=on,wait=off,fd="+qmp, "-mon", "chardev=qmp,mode=control",
		"-chardev", fmt.Sprintf("socket,id=line,server=on,wait=off,fd=%s,logfile=%s,logappend=on", line, fdset(log)), "-serial", "chardev:line",
		"-chardev", "socket,id=agent,server=on,wait=off,fd="+agent, "-device", "virtserialport,bus=ports.0,nr=1,chardev=agent,id=agent0,name=org.qemu.guest_agent.0")
}

// disk describes a disk; boot is its place in the order of booting, from 1.
func (c *command) disk(d machine.Disk, slot, boot int) error {
	readOnly := d.ReadOnly || d.CDROM
	below := ""
	layers := chain(d.Drive)
	for n := len(layers) - 1; n >= 0; n-- {
		path := layers[n]
		files, err := openLayer(path, n == 0 && !readOnly)
		if err != nil {
			return err
		}
		set := c.set(files)
		if key, ok := d.Drive.Keys[path]; ok {
			name := keyName(d.ID, path)
			c.keys[name] = []byte(machine.Passphrase(key))
			c.json("-object", object{"qom-type": "secret", "id": name, "format": "raw", "file": "/k/" + name})
		}
		c.json("-blockdev", layer(d, path, set, n > 0 || readOnly, below))
		below = layerNode(d.ID, path)
	}
	c.json("-object", throttleGroup(d))
	c.json("-blockdev", top(d))
	o := device(d, slot)
	o["bootindex"] = boot
	c.json("-device", o)
	return nil
}

// seed describes the NoCloud seed, a CD.
func (c *command) seed(image fileSet) {
	set := c.set(image)
	c.json("-blockdev", object{"driver": "raw", "node-name": "seed", "read-only": true,
		"file": object{"driver": "file", "filename": fdset(set), "read-only": true, "locking": "off"}})
	c.json("-device", object{"driver": "scsi-cd", "id": "seed", "drive": "seed", "bus": scsiBus, "scsi-id": seedUnit, "lun": 0})
}

// nic describes a network card.
func (c *command) nic(n machine.NIC, slot int) error {
	files, err := tap(n)
	if err != nil {
		return err
	}
	c.json("-netdev", object{"type": "tap", "id": cardBackend(n.ID), "fds": strings.Join(c.fd(files), ":"), "vhost": false})
	c.json("-device", card(n, slot))
	return nil
}
