package qemu

import (
	"testing"
	"time"
)

// Elsewhere is for tests that go into network namespaces.
var Elsewhere = elsewhere

// LetGo gives systems another time to let go of devices, for one test.
func LetGo(t *testing.T, d time.Duration) {
	old := letGo
	letGo = d
	t.Cleanup(func() { letGo = old })
}
