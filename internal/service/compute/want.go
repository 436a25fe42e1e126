package compute

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/machine"
)

// want describes the server's machine to the engine, plugging in its cards and opening its disks.
func (s *Service) want(ctx context.Context, row *serverRow) (machine.Want, error) {
	w := machine.Want{Name: row.Name, CPUs: row.Spec.CPUs, MemoryMiB: row.Spec.Memory, Running: !row.Spec.Stopped, UUID: row.ID.Dashed(), Serial: row.ID.Dashed()}
	err := s.Store.View(ctx, func(tx store.Tx) error {
		f, err := s.sizeOf(tx, row)
		w.MilliCPU = f.MilliCPU * row.Spec.CPUs
		return err
	})
	if err != nil {
		return w, err
	}
	for _, n := range row.Status.Cards {
		if n.Phase.leaves() || n.Port == "" {
			continue
		}
		nic, err := s.Networks.Plug(ctx, n.Port)
		if err != nil {
			return w, err
		}
		w.NICs = append(w.NICs, nic)
	}
	for _, d := range row.Status.Disks {
		if d.Phase.leaves() || d.Volume == "" {
			continue
		}
		disk, err := s.Volumes.Drive(ctx, d.Volume)
		if err != nil {
			return w, err
		}
		disk.Device = d.Device
		if disk.Serial == "" {
			disk.Serial = string(d.Volume[:20])
		}
		w.Disks = append(w.Disks, disk)
	}
	seed, err := s.seed(row)
	w.Seed = seed
	return w, err
}

// seed is what cloud-init reads at the first start, before there is a network.
func (s *Service) seed(row *serverRow) (map[string][]byte, error) {
	meta := map[string]any{"instance-id": row.ID.Dashed(), "local-hostname": row.Status.Hostname, "hostname": row.Status.Hostname}
	if row.Status.PublicKey != "" {
		meta["public-keys"] = []string{row.Status.PublicKey}
	}
	m, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		return nil, err
	}
	vendor, err := s.vendorData(row)
	if err != nil {
		return nil, err
	}
	user := row.Spec.UserData
	if user == "" {
		user = "#cloud-config\n{}\n"
	}
	return map[string][]byte{"meta-data": append(m, '\n'), "user-data": []byte(user), "vendor-data": vendor, "network-config": networkConfig(row)}, nil
}

// vendorData is the cloud's own wish: the password and the files, if they were given. What the user's data say wins.
func (s *Service) vendorData(row *serverRow) ([]byte, error) {
	doc := map[string]any{}
	if row.Spec.Password != "" {
		password, err := s.Host.Unseal(&row.Meta, "spec", "password", row.Spec.Password)
		if err != nil {
			return nil, err
		}
		doc["ssh_pwauth"] = true
		doc["password"] = password
		doc["chpasswd"] = map[string]any{"expire": false}
	}
	var files []map[string]string
	for _, f := range row.Spec.Files {
		files = append(files, map[string]string{"path": f.Path, "encoding": "b64", "content": f.Content})
	}
	if len(files) > 0 {
		doc["write_files"] = files
	}
	b, err := json.MarshalIndent(doc, "", "  ") // JSON is YAML
	if err != nil {
		return nil, err
	}
	return append([]byte("#cloud-config\n"), append(b, '\n')...), nil
}

// networkConfig lets each card ask for its address.
func networkConfig(row *serverRow) []byte {
	var b strings.Builder
	b.WriteString("version: 2\nethernets:\n")
	i := 0
	for _, n := range row.Status.Cards {
		if n.MAC == "" || n.Phase.leaves() {
			continue
		}
		six := false
		for _, a := range n.Addresses {
			six = six || strings.Contains(a, ":")
		}
		fmt.Fprintf(&b, "  eth%d:\n    match: {macaddress: %q}\n    set-name: eth%d\n    dhcp4: true\n    dhcp6: %v\n", i, n.MAC, i, six)
		if i > 0 { // the first card leads out
			b.WriteString("    dhcp4-overrides: {use-routes: false, use-dns: false}\n    optional: true\n")
		}
		i++
	}
	return []byte(b.String())
}
