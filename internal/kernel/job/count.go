package job

import "github.com/awancloud/awan/internal/kernel/store"

// Unfinished counts the jobs that have not ended: those under way, and those that wait.
func Unfinished(tx store.Tx) (n float64, err error) {
	for range tx.Scan(duePrefix, "") {
		n++
	}
	return n, tx.ScanErr()
}
