package sim

import (
	"testing"

	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/build/buildtest"
)

func TestContract(t *testing.T) {
	buildtest.Run(t, func(*testing.T) build.Engine { return New() })
}
