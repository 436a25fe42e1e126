package mem_test

import (
	"testing"

	"github.com/awancloud/awan/internal/engine/object/mem"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
)

func TestBlobs(t *testing.T) {
	objecttest.Suite{Open: func(testing.TB) object.Blobs { return mem.New() }, InMemory: true}.Run(t)
}
