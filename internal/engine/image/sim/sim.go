// Package sim makes images for clouds whose machines are simulated: a mebibyte that says what it is. It may import the
// kernel and service/image.
package sim

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/image"
)

// Maker makes images that no machine boots.
type Maker struct {
	Names []string // of recipes
	// Before is asked before one is made; nil: nobody.
	Before func(ctx context.Context, recipe string) error
}

var _ image.Maker = Maker{}

// Recipes names them.
func (m Maker) Recipes() []string { return m.Names }

// Make gives the mebibyte.
func (m Maker) Make(ctx context.Context, recipe string, progress func(string)) (io.ReadCloser, error) {
	if !slices.Contains(m.Names, recipe) {
		return nil, fail.New(fail.NotFound, "there is no recipe %q", recipe)
	}
	if m.Before != nil {
		if err := m.Before(ctx, recipe); err != nil {
			return nil, err
		}
	}
	progress("simulated")
	text := "a simulated image of " + recipe + "\n"
	return io.NopCloser(io.MultiReader(strings.NewReader(text), bytes.NewReader(make([]byte, 1<<20-len(text))))), nil
}
