package bucket

import (
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// eventKey is where events wait that somebody is to be told of: bucket/event/BUCKET/RECEIVER/ID, in the order in which
// they happened.
const eventKey = "bucket/event/"

// happened is an event that waits.
type happened struct {
	Bucket    id.ID  `cbor:"1,keyasint"`
	Event     string `cbor:"2,keyasint"`
	Key       string `cbor:"3,keyasint"`
	Version   string `cbor:"4,keyasint,omitempty"`
	Size      int64  `cbor:"5,keyasint,omitempty"`
	ETag      string `cbor:"6,keyasint,omitempty"`
	At        int64  `cbor:"7,keyasint"`
	By        string `cbor:"8,keyasint,omitempty"`
	Source    string `cbor:"9,keyasint,omitempty"`
	RequestID string `cbor:"10,keyasint,omitempty"`
}

// tell notes an event for those who want to know, in the transaction in which it happens.
func (s *Service) tell(tx store.Tx, c *Caller, b *bucket, event, key string, r *record) error {
	for i := range b.Spec.Notifications {
		if n := &b.Spec.Notifications[i]; n.wants(event, key) {
			h := happened{Bucket: b.ID, Event: event, Key: key, Version: r.id(), Size: r.Size, ETag: r.ETag, At: s.now().UnixNano(),
				By: c.Principal.String(), Source: c.Source, RequestID: c.RequestID}
			if err := tx.Put(eventKey+string(b.ID)+"/"+n.receiver()+"/"+string(id.New()), encode(&h)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Notification) wants(event, key string) bool {
	if !strings.HasPrefix(key, n.Prefix) || !strings.HasSuffix(key, n.Suffix) {
		return false
	}
	for _, want := range n.Events {
		want = strings.TrimPrefix(want, "s3:")
		if want == event || strings.HasSuffix(want, ":*") && strings.HasPrefix(event, want[:len(want)-1]) {
			return true
		}
	}
	return false
}

func (h *happened) at() time.Time { return time.Unix(0, h.At).UTC() }
