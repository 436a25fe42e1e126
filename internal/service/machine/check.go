package machine

import (
	"fmt"
	"regexp"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// What every engine can give a machine.
const (
	MaxDisks  = 31
	MaxNICs   = 16
	MaxSerial = 20 // characters of a disk's serial number
)

var (
	deviceForm = regexp.MustCompile(`^[a-z]{2,4}[a-z]$`)
	plainForm  = regexp.MustCompile(`^[A-Za-z0-9._-]*$`)
)

// Check refuses what no engine can make of a want, naming the field.
func Check(i id.ID, w Want) error {
	if p, ok := id.Parse(string(i)); !ok || p != i {
		return fail.Field("machine", "is not an id")
	}
	switch {
	case w.CPUs < 1 || w.CPUs > 255:
		return fail.Field("cpus", "must be 1 to 255, not %d", w.CPUs)
	case w.MilliCPU < 0 || w.MilliCPU > w.CPUs*1000:
		return fail.Field("milli_cpu", "must be 0 to %d, 1000 for each processor", w.CPUs*1000)
	case w.MemoryMiB < 16:
		return fail.Field("memory_mib", "must be 16 at least, not %d", w.MemoryMiB)
	case len(w.Disks) > MaxDisks:
		return fail.Field("disks", "at most %d, not %d", MaxDisks, len(w.Disks))
	case len(w.NICs) > MaxNICs:
		return fail.Field("nics", "at most %d, not %d", MaxNICs, len(w.NICs))
	case !plainForm.MatchString(w.Serial) || len(w.Serial) > 64:
		return fail.Field("serial", "must be of letters, digits, '.', '_' and '-'")
	}
	if _, ok := id.Parse(w.UUID); w.UUID != "" && !ok {
		return fail.Field("uuid", "is not a UUID")
	}
	if w.Kernel != nil && w.Kernel.Image == "" {
		return fail.Field("kernel.image", "is needed")
	}
	if err := checkDisks(w.Disks); err != nil {
		return err
	}
	return checkNICs(w.NICs)
}

func checkDisks(disks []Disk) error {
	ids, devices := map[id.ID]bool{}, map[string]bool{}
	for n, d := range disks {
		at := fmt.Sprintf("disks[%d].", n)
		p, ok := id.Parse(string(d.ID))
		switch {
		case !ok || p != d.ID:
			return fail.Field(at+"id", "is not an id")
		case ids[d.ID]:
			return fail.Field(at+"id", "is there twice")
		case !deviceForm.MatchString(d.Device):
			return fail.Field(at+"device", "must look like vda, not %q", d.Device)
		case devices[d.Device]:
			return fail.Field(at+"device", "%s is taken by another disk", d.Device)
		case d.Drive.Format != "qcow2" && d.Drive.Format != "raw":
			return fail.Field(at+"drive.format", "must be qcow2 or raw, not %q", d.Drive.Format)
		case d.Drive.Path == "":
			return fail.Field(at+"drive.path", "is needed")
		case d.Drive.Format == "raw" && len(d.Drive.Backing) > 0:
			return fail.Field(at+"drive.backing", "a raw layer stands on nothing")
		case len(d.Serial) > MaxSerial || !plainForm.MatchString(d.Serial):
			return fail.Field(at+"serial", "must be at most %d letters, digits, '.', '_' and '-'", MaxSerial)
		case d.IOPS < 0 || d.Bytes < 0 || d.IOPSBurst < 0 || d.BytesBurst < 0:
			return fail.Field(at+"iops", "limits must not be negative")
		}
		ids[d.ID], devices[d.Device] = true, true
	}
	return nil
}

func checkNICs(nics []NIC) error {
	ids := map[id.ID]bool{}
	for n, c := range nics {
		at := fmt.Sprintf("nics[%d].", n)
		p, ok := id.Parse(string(c.ID))
		switch {
		case !ok || p != c.ID:
			return fail.Field(at+"id", "is not an id")
		case ids[c.ID]:
			return fail.Field(at+"id", "is there twice")
		case len(c.MAC) != 6 || c.MAC[0]&1 != 0:
			return fail.Field(at+"mac", "must be six bytes and no group's address")
		case c.Device == "":
			return fail.Field(at+"device", "is needed")
		case c.Queues < 0 || c.Queues > 8:
			return fail.Field(at+"queues", "must be 0 to 8")
		}
		ids[c.ID] = true
	}
	return nil
}

// CheckLive refuses what cannot change while a machine runs.
func CheckLive(now, want Want) error {
	same := func(a, b *Kernel) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
	switch {
	case now.CPUs != want.CPUs:
		return fixed("cpus")
	case now.MemoryMiB != want.MemoryMiB:
		return fixed("memory_mib")
	case now.UUID != want.UUID:
		return fixed("uuid")
	case now.Serial != want.Serial:
		return fixed("serial")
	case now.Machine != want.Machine:
		return fixed("machine")
	case !same(now.Kernel, want.Kernel):
		return fixed("kernel")
	}
	old := map[id.ID]Disk{}
	for _, d := range now.Disks {
		old[d.ID] = d
	}
	for _, d := range want.Disks {
		o, ok := old[d.ID]
		if ok && (o.Device != d.Device || o.Serial != d.Serial || o.ReadOnly != d.ReadOnly || o.SCSI != d.SCSI || o.CDROM != d.CDROM || o.WriteThrough != d.WriteThrough) {
			return fixed("disks")
		}
	}
	return nil
}

func fixed(field string) error {
	return (&fail.Error{Kind: fail.Precondition, Field: field, Message: "cannot change while the machine runs"}).Then("stop it first")
}
