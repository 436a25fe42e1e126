package buildkit

import (
	"io"
	"log"
	"os"
	"syscall"
)

// silent is a logger that says nothing.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }

// owner is the owner of a file.
func owner(path string) uint32 {
	i, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	return i.Sys().(*syscall.Stat_t).Uid
}
