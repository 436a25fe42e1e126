package alarm

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/outward"
)

// States of a notification.
const (
	waiting   = "waiting"
	delivered = "delivered"
	givenUp   = "given up"
)

const (
	tryTime  = 10 * time.Second
	maxTries = 12 // with the pauses between them: about three hours
	keepSent = 7 * 24 * time.Hour
	keepMost = 500 // of one project
	senders  = 8
)

// duePrefix is where the ids of those notifications lie that are not sent yet, of all projects.
const duePrefix = "notifydue/"

// queue stores a notification to be sent.
func (s *Service) queue(tx store.Tx, c *channelRow, m message, alarm ...string) error {
	now, i := s.Now().UTC(), id.New()
	m.ID, m.ProjectName = string(i), ""
	if s.ProjectName != nil {
		m.ProjectName = s.ProjectName(tx, c.Project)
	}
	r := &notificationRow{Meta: kind.Meta{ID: i, Kind: s.Notification.D.FullName(), Domain: c.Domain, Project: c.Project, Name: string(i), State: kind.Active,
		Made: true, Generation: 1, Created: now, Updated: now}}
	r.Spec = NotificationSpec{Alarm: m.Alarm, Channel: string(c.ID), Text: m.subject(), Message: m.encode()}
	if len(alarm) > 0 {
		r.Spec.AlarmID = alarm[0]
	}
	r.Status = NotificationStatus{Delivery: waiting, Next: now}
	if err := s.Notification.Put(tx, r); err != nil {
		return err
	}
	if err := tx.Put(duePrefix+string(i), nil); err != nil {
		return err
	}
	s.kick()
	return s.trim(tx, c.Project, now)
}

// trim forgets what was sent long ago, and the oldest where there are very many.
func (s *Service) trim(tx store.Tx, project id.ID, now time.Time) error {
	all, err := s.Notification.List(tx, string(project), kind.Filter{})
	if err != nil {
		return err
	}
	for i, r := range all {
		if r.Status.Delivery != waiting && now.Sub(r.Status.Ended) > keepSent || len(all)-i > keepMost {
			if err := s.Notification.Remove(tx, r); err != nil {
				return err
			}
			if err := tx.Delete(duePrefix + string(r.ID)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// sendAll sends what is due, until ctx ends.
func (s *Service) sendAll(ctx context.Context) {
	for {
		next, err := s.Send(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("notifications cannot be sent", "err", err)
		}
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-s.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// Send sends every notification that is due, several at once, and tells how long there is nothing more to do.
func (s *Service) Send(ctx context.Context) (next time.Duration, err error) {
	next = time.Minute
	var due []*notificationRow
	now := s.Now()
	err = s.Store.View(ctx, func(tx store.Tx) error {
		for key := range tx.Scan(duePrefix, "") {
			r, err := s.Notification.Get(tx, id.ID(key[len(duePrefix):]))
			if err != nil {
				return err
			}
			if r == nil {
				continue
			}
			if wait := r.Status.Next.Sub(now); wait <= 0 {
				due = append(due, r)
			} else {
				next = min(next, wait)
			}
		}
		return tx.ScanErr()
	})
	if err != nil {
		return next, err
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, senders)
	for _, r := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			s.one(ctx, r)
		})
	}
	wg.Wait()
	if len(due) > 0 {
		next = min(next, pause(1))
	}
	return next, nil
}

// one tries to deliver a notification and stores what came of it. When the process dies in between it is sent again:
// receivers tell repeats by the id.
func (s *Service) one(ctx context.Context, r *notificationRow) {
	try, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	err := s.deliver(try, r)
	if ctx.Err() != nil {
		return
	}
	now := s.Now().UTC()
	_, serr := s.Store.Update(ctx, func(tx store.Tx) error {
		x, err2 := s.Notification.Get(tx, r.ID)
		if err2 != nil || x == nil {
			return err2
		}
		st := &x.Status
		st.Tries++
		st.Error, st.Next, x.Updated = "", time.Time{}, now
		switch {
		case err == nil:
			st.Delivery, st.Ended = delivered, now
		case errors.As(err, &partly{}):
			st.Delivery, st.Ended, st.Error = delivered, now, reason(err)
		case st.Tries >= maxTries || final(err):
			st.Delivery, st.Ended, st.Error = givenUp, now, reason(err)
		default:
			st.Next, st.Error = now.Add(pause(st.Tries)), reason(err)
		}
		if st.Delivery != waiting {
			if err := tx.Delete(duePrefix + string(r.ID)); err != nil {
				return err
			}
		}
		return s.Notification.Put(tx, x)
	})
	if serr != nil && ctx.Err() == nil {
		s.Log.Error("a notification's state cannot be stored", "notification", r.ID, "err", serr)
	}
}

// pause grows from 2 s to 30 minutes.
func pause(tries int) time.Duration { return min(time.Second<<min(tries, 12), 30*time.Minute) }

func final(err error) bool {
	return fail.Is(err, fail.NotFound) || fail.Is(err, fail.Denied)
}

func reason(err error) string {
	var f *fail.Error
	if errors.As(err, &f) {
		return f.Public()
	}
	return "it could not be sent"
}

func (s *Service) deliver(ctx context.Context, r *notificationRow) error {
	var c *channelRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		c, err = s.Channel.Get(tx, id.ID(r.Spec.Channel))
		return err
	})
	if err != nil {
		return err
	}
	if c == nil {
		return fail.New(fail.NotFound, "the channel was deleted")
	}
	if c.Spec.Type == "email" {
		var m message
		if err := json.Unmarshal([]byte(r.Spec.Message), &m); err != nil {
			return err
		}
		return s.Mail.send(ctx, c.Spec.To, m, s.Now())
	}
	return s.post(ctx, c, r)
}

// Signature is the header that proves that a notification comes from who knows the channel's secret: t=SECONDS,v1=HEX, the
// HMAC-SHA256 of SECONDS, a full stop and the body.
const Signature = "X-Awan-Signature"

func sign(secret, body string, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(t + "." + body))
	return "t=" + t + ",v1=" + hex.EncodeToString(h.Sum(nil))
}

func (s *Service) post(ctx context.Context, c *channelRow, r *notificationRow) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Spec.URL, bytes.NewReader([]byte(r.Spec.Message)))
	if err != nil {
		return fail.Wrap(err, fail.Invalid, "the address cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "awan-alarms")
	req.Header.Set("X-Awan-Delivery", string(r.ID))
	if c.Spec.Secret != "" {
		key, err := s.Host.Unseal(&c.Meta, "spec", "secret", c.Spec.Secret)
		if err != nil {
			return err
		}
		req.Header.Set(Signature, sign(key, r.Spec.Message, s.Now()))
	}
	resp, err := s.Outward.Do(req)
	if err != nil {
		var f *fail.Error
		if errors.As(err, &f) {
			return f
		}
		return fail.New(fail.Unavailable, "%s cannot be told: %s", req.URL.Host, outward.Why(err))
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fail.New(fail.Unavailable, "%s answered %s", req.URL.Host, resp.Status)
	}
	return nil
}
