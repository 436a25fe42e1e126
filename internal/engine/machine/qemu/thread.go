package qemu

import "github.com/awancloud/awan/internal/engine/thread"

// elsewhere does something on a thread that may leave the process's namespaces and root.
func elsewhere(do func() error) error { return thread.Elsewhere(do) }
