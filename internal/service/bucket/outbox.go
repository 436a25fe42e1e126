package bucket

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// outbox sends what transactions left to be sent. It lies in queues, PREFIX/BUCKET/RECEIVER/ID: each is sent in the order
// in which it was written, at least once, and none waits for another. What cannot be sent is tried again, at ever longer
// intervals; what is older than outboxKeep is given up then.
type outbox struct {
	s      *Service
	prefix string
	batch  int // entries that send gets at once
	slots  int // queues that are sent at the same time
	// at is when an entry was written.
	at func(value []byte) (time.Time, error)
	// send sends entries of one queue, the oldest first, and marks those that are done.
	send func(ctx context.Context, b *bucket, receiver string, batch []waiting) error
	// lost settles entries that are given up because of err, in the transaction that removes them.
	lost func(tx store.Tx, b *bucket, receiver string, batch []waiting, err error) error
	// failing says that a queue has failed a few times.
	failing func(tx store.Tx, b *bucket, receiver string, err error) error

	mu     sync.Mutex
	queues map[string]*pace
	active int
}

// waiting is an entry of a queue.
type waiting struct {
	key   string
	value []byte
	done  bool
}

// pace is how a queue does; it is not stored: after a start everything is tried at once.
type pace struct {
	busy  bool
	tries int
	next  time.Time
}

const (
	outboxKeep = 24 * time.Hour
	outboxTurn = 30 * time.Second // that a queue is sent before another may have its place
	outboxTell = 3                // failures behind which the bucket's owner is told
)

// run sends what is due, without waiting for it.
func (o *outbox) run(ctx context.Context) error {
	var queues []string
	err := o.s.Store.View(ctx, func(tx store.Tx) error {
		for after, more := "", true; more; {
			more = false
			for k := range tx.Scan(o.prefix, after) {
				q := k[:strings.LastIndexByte(k, '/')+1]
				queues = append(queues, q)
				after, more = q+"\xff", true
				break
			}
		}
		return tx.ScanErr()
	})
	if err != nil {
		return err
	}
	now := o.s.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queues == nil {
		o.queues = map[string]*pace{}
	}
	seen := make(map[string]bool, len(queues))
	rand.Shuffle(len(queues), func(i, j int) { queues[i], queues[j] = queues[j], queues[i] })
	for _, q := range queues {
		seen[q] = true
		p := o.queues[q]
		if p == nil {
			p = &pace{}
			o.queues[q] = p
		}
		if p.busy || now.Before(p.next) || o.active == o.slots {
			continue
		}
		p.busy = true
		o.active++
		o.s.running.Go(func() { o.empty(ctx, q, p) })
	}
	for q, p := range o.queues {
		if !seen[q] && !p.busy {
			delete(o.queues, q)
		}
	}
	return nil
}

// empty sends a queue until it is empty or fails.
func (o *outbox) empty(ctx context.Context, q string, p *pace) {
	var err error
	began := time.Now()
	for more := true; more && err == nil && ctx.Err() == nil && time.Since(began) < outboxTurn; {
		more, err = o.some(ctx, q, p.tries)
		if err == nil {
			p.tries = 0
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	p.busy = false
	o.active--
	if err != nil {
		p.tries++
		p.next = o.s.now().Add(min(time.Second<<min(p.tries, 12), 30*time.Minute))
	}
}

func allDone(batch []waiting) {
	for i := range batch {
		batch[i].done = true
	}
}

// some sends the oldest entries of a queue.
func (o *outbox) some(ctx context.Context, q string, tries int) (more bool, err error) {
	bucketID, receiver, _ := strings.Cut(strings.TrimSuffix(q[len(o.prefix):], "/"), "/")
	var b *bucket
	var batch []waiting
	err = o.s.Store.View(ctx, func(tx store.Tx) (err error) {
		if b, err = o.s.byID(tx, id.ID(bucketID)); err != nil {
			return err
		}
		for k, v := range tx.Scan(q, "") {
			if batch = append(batch, waiting{key: k, value: v}); len(batch) == o.batch {
				break
			}
		}
		return tx.ScanErr()
	})
	if err != nil || len(batch) == 0 {
		return false, err
	}
	if b == nil { // what a deleted bucket left is of no interest any more
		allDone(batch)
	} else {
		err = o.send(ctx, b, receiver, batch)
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	var gone, old []waiting
	for _, w := range batch {
		if w.done {
			gone = append(gone, w)
			continue
		}
		if at, aerr := o.at(w.value); err != nil && (aerr != nil || o.s.now().Sub(at) >= outboxKeep) {
			gone, old = append(gone, w), append(old, w)
		}
	}
	_, uerr := o.s.Store.Update(ctx, func(tx store.Tx) error {
		for _, w := range gone {
			if err := tx.Delete(w.key); err != nil {
				return err
			}
		}
		if len(old) > 0 {
			return o.lost(tx, b, receiver, old, err)
		}
		if err != nil && tries+1 == outboxTell {
			return o.failing(tx, b, receiver, err)
		}
		return nil
	})
	if uerr != nil {
		return false, uerr
	}
	return true, err
}
