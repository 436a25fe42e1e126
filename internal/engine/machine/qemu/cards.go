package qemu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

func cardDevice(nic id.ID) string  { return "nic-" + string(nic) }
func cardBackend(nic id.ID) string { return "net-" + string(nic) }

// card is a NIC as the guest sees it.
func card(n machine.NIC, slot int) object {
	o := object{"driver": "virtio-net-pci", "id": cardDevice(n.ID), "netdev": cardBackend(n.ID), "mac": n.MAC.String(), "bus": "pci.0",
		"addr": fmt.Sprintf("%#x", slot), "romfile": ""}
	if n.MTU >= 68 {
		o["host_mtu"] = n.MTU
	}
	if n.Queues > 1 {
		o["mq"], o["vectors"] = true, 2*n.Queues+2
	}
	return o
}

// tap opens the queues of a tap where it is. It must be there: whoever makes networks makes it.
func tap(n machine.NIC) (files fileSet, err error) {
	err = elsewhere(func() error {
		if err := enter(n.Namespace); err != nil {
			return err
		}
		files, err = openTap(n.Device, max(1, n.Queues))
		return err
	})
	if err != nil {
		files.close()
		return nil, fail.New(fail.Unavailable, "the network card's device %s cannot be opened", n.Device).Because(err)
	}
	return files, nil
}

// enter takes the calling thread into a network namespace.
func enter(namespace string) error {
	if namespace == "" {
		return nil
	}
	if !strings.Contains(namespace, "/") {
		namespace = filepath.Join("/run/netns", namespace)
	}
	ns, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
}

func openTap(name string, queues int) (files fileSet, err error) {
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	many := []uint16{flags, flags | unix.IFF_MULTI_QUEUE} // it depends on how the device was made
	if queues > 1 {
		many = many[1:]
	}
	if _, err := interfaceIndex(name); err != nil { // TUNSETIFF would make it
		return nil, err
	}
	for range queues {
		f, err := openQueue(name, many)
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

func openQueue(name string, flags []uint16) (*os.File, error) {
	var last error
	for _, fl := range flags {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		req, err := unix.NewIfreq(name)
		if err == nil {
			req.SetUint16(fl)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
		if err == nil {
			return os.NewFile(uintptr(fd), "tap"), nil
		}
		_ = unix.Close(fd)
		last = err
	}
	return nil, last
}

// interfaceIndex finds an interface in the thread's own namespace.
func interfaceIndex(name string) (uint32, error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, req); err != nil {
		return 0, err
	}
	return req.Uint32(), nil
}
