package bucket

import (
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/object"
)

// TestTheLargestRecordFits: an object of the most parts, with the longest sums and names, is a value of the store.
func TestTheLargestRecordFits(t *testing.T) {
	r := &record{Multi: true, Attr: Attributes{User: map[string]string{"a": strings.Repeat("x", maxMeta)}}}
	for range MaxParts {
		r.Segments = append(r.Segments, segment{Ref: object.Ref(strings.Repeat("f", 30)), Size: MaxPut, Salt: make([]byte, 16), Sums: map[string]string{"sha256": strings.Repeat("A", 44)}})
	}
	if len(encode(r)) <= store.MaxValue {
		t.Fatal("it fits as it is")
	}
	if r.slim(); len(encode(r)) > store.MaxValue {
		t.Errorf("%d bytes", len(encode(r)))
	}
}
