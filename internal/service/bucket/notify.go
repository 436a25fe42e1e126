package bucket

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/outward"
)

const (
	notifyTime  = 10 * time.Second
	notifyBatch = 50 // events in one message
	notifySlots = 64
)

// Signature is the header that proves that a message comes from who knows the notification's secret: t=SECONDS,v1=HEX,
// the HMAC-SHA256 of SECONDS, a full stop and the body. It is what alarms' web hooks have.
const Signature = "X-Awan-Signature"

// receiver names the queue of a notification.
func (n *Notification) receiver() string { return short(n.ID, n.URL) }

func (b *bucket) notification(receiver string) *Notification {
	for i := range b.Spec.Notifications {
		if n := &b.Spec.Notifications[i]; n.receiver() == receiver {
			return n
		}
	}
	return nil
}

func (s *Service) notifications() *outbox {
	return &outbox{s: s, prefix: eventKey, batch: notifyBatch, slots: notifySlots,
		at: func(v []byte) (time.Time, error) {
			h, err := decode[happened](v)
			if err != nil {
				return time.Time{}, err
			}
			return h.at(), nil
		},
		send: s.notify,
		lost: func(tx store.Tx, b *bucket, receiver string, batch []waiting, err error) error {
			to := receiver
			if n := b.notification(receiver); n != nil {
				to = n.URL
			}
			return s.note(tx, b.ID, event.Error, "NotificationsDropped", fmt.Sprintf("%d events could not be delivered to %s within a day and are dropped: %s", len(batch), to, outward.Why(err)))
		},
		failing: func(tx store.Tx, b *bucket, receiver string, err error) error {
			n := b.notification(receiver)
			if n == nil {
				return nil
			}
			return s.note(tx, b.ID, event.Warning, "NotificationsWait", fmt.Sprintf("events cannot be delivered to %s, and wait for up to a day: %s", n.URL, outward.Why(err)))
		}}
}

// notify posts events to their receiver. It tells repeats by the sequencer.
func (s *Service) notify(ctx context.Context, b *bucket, receiver string, batch []waiting) error {
	n := b.notification(receiver)
	if n == nil { // nobody wants to know any more
		allDone(batch)
		return nil
	}
	var msg message
	for _, w := range batch {
		h, err := decode[happened](w.value)
		if err != nil {
			return err
		}
		msg.Records = append(msg.Records, s.eventRecord(b, n, h, w.key[len(w.key)-32:]))
	}
	body, err := json.Marshal(&msg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, notifyTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL, bytes.NewReader(body))
	if err != nil {
		return fail.Wrap(err, fail.Invalid, "the address cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "awan-buckets")
	req.Header.Set("X-Awan-Delivery", msg.Records[0].S3.Object.Sequencer)
	if n.Secret != "" {
		key, err := s.door.Unseal(&b.Meta, "spec", "notifications.secret", n.Secret)
		if err != nil {
			return err
		}
		req.Header.Set(Signature, sign(key, body, s.now()))
	}
	resp, err := s.Outward.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fail.New(fail.Unavailable, "it answered %s", resp.Status)
	}
	allDone(batch)
	return nil
}

func sign(secret string, body []byte, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(t + "."))
	h.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(h.Sum(nil))
}

// message is S3's event message, which receivers of others understand.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
type message struct {
	Records []eventRecord `json:"Records"`
}

type eventRecord struct {
	EventVersion string   `json:"eventVersion"`
	EventSource  string   `json:"eventSource"`
	Region       string   `json:"awsRegion"`
	Time         string   `json:"eventTime"`
	Name         string   `json:"eventName"`
	User         eventWho `json:"userIdentity"`
	Request      struct {
		Source string `json:"sourceIPAddress"`
	} `json:"requestParameters"`
	Response struct {
		ID string `json:"x-amz-request-id"`
	} `json:"responseElements"`
	S3 struct {
		Version       string `json:"s3SchemaVersion"`
		Configuration string `json:"configurationId"`
		Bucket        struct {
			Name  string   `json:"name"`
			Owner eventWho `json:"ownerIdentity"`
			ARN   string   `json:"arn"`
		} `json:"bucket"`
		Object struct {
			Key       string `json:"key"`
			Size      int64  `json:"size,omitempty"`
			ETag      string `json:"eTag,omitempty"`
			Version   string `json:"versionId,omitempty"`
			Sequencer string `json:"sequencer"`
		} `json:"object"`
	} `json:"s3"`
}

type eventWho struct {
	ID string `json:"principalId"`
}

func (s *Service) eventRecord(b *bucket, n *Notification, h *happened, seq string) (r eventRecord) {
	r.EventVersion, r.EventSource, r.Region = "2.1", "aws:s3", s.door.Region
	r.Time, r.Name = h.at().Format("2006-01-02T15:04:05.000Z"), h.Event
	r.User.ID, r.Request.Source, r.Response.ID = h.By, h.Source, h.RequestID
	r.S3.Version, r.S3.Configuration = "1.0", n.ID
	r.S3.Bucket.Name, r.S3.Bucket.Owner.ID, r.S3.Bucket.ARN = b.Name, string(b.Domain), "arn:aws:s3:::"+b.Name
	o := &r.S3.Object
	o.Key, o.Size, o.ETag, o.Sequencer = url.QueryEscape(h.Key), h.Size, h.ETag, seq
	if h.Version != nullVersion {
		o.Version = h.Version
	}
	return r
}
