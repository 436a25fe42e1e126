package bucket

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/outward"
)

// A fetch job brings one object from an address, once, behind the request that asked for it. It waits in an outbox,
// FETCHWAIT/BUCKET/HOST/ID; what came of it stays beside that for three days.
const (
	fetchWaitKey = "bucket/fetch/"
	fetchJobKey  = "bucket/fetched/"
	fetchSlots   = 4
	fetchMost    = 1000 // jobs that wait or are remembered in a bucket
	fetchKeep    = 72 * time.Hour
	fetchTries   = 5
)

// FetchJob is what is to be fetched.
type FetchJob struct {
	ID         string            `cbor:"1,keyasint"`
	URLs       []string          `cbor:"2,keyasint"` // tried in turn
	Host       string            `cbor:"3,keyasint,omitempty"`
	Key        string            `cbor:"4,keyasint"`
	MD5        string            `cbor:"5,keyasint,omitempty"` // in hex or base64; what it must have
	Keep       bool              `cbor:"6,keyasint,omitempty"` // leave an object that is there as it is
	Class      string            `cbor:"7,keyasint,omitempty"`
	Attributes Attributes        `cbor:"8,keyasint,omitempty"`
	Callback   *Callback         `cbor:"9,keyasint,omitempty"`
	Said       map[string]string `cbor:"10,keyasint,omitempty"` // what else the client said, to be given back
	At         int64             `cbor:"11,keyasint"`
	Done       bool              `cbor:"12,keyasint,omitempty"`
	Error      string            `cbor:"13,keyasint,omitempty"`
	Tries      int               `cbor:"14,keyasint,omitempty"`
	ETag       string            `cbor:"15,keyasint,omitempty"`
}

// BeginFetch writes a job down, for a caller that may store what it brings. The bucket's Fetch must be open.
func (s *Service) BeginFetch(ctx context.Context, c *Caller, name string, j FetchJob) (*FetchJob, int, error) {
	if len(j.URLs) == 0 || len(j.URLs) > callbackURLs {
		return nil, 0, failed("InvalidArgument", fail.Field("url", "needs 1 to %d addresses, parted by semicolons", callbackURLs))
	}
	for _, u := range j.URLs {
		if err := checkURL("url", u, false); err != nil {
			return nil, 0, err
		}
	}
	if j.Key == "" {
		u, _ := url.Parse(j.URLs[0])
		if j.Key = path.Base(u.Path); j.Key == "/" || j.Key == "." {
			return nil, 0, failed("InvalidArgument", fail.Field("key", "the address says no name for the object").Then("say one"))
		}
	}
	if j.Callback != nil {
		if err := j.Callback.Check(); err != nil {
			return nil, 0, err
		}
	}
	if _, ok := md5Of(j.MD5); !ok {
		return nil, 0, failed("InvalidArgument", fail.Field("md5", "is 32 hexadecimal digits, or the same in base64"))
	}
	b, err := s.mayPut(ctx, c, &PutInput{Bucket: name, Key: j.Key, Size: -1, Class: j.Class, Attributes: j.Attributes}, &record{})
	if err != nil {
		return nil, 0, err
	}
	if !b.Spec.Fetch.Open {
		return nil, 0, failed("AccessDenied", fail.New(fail.Denied, "bucket %s fetches nothing", b.Name).Then("open its fetch policy (v1/extension_policy)"))
	}
	j.ID, j.At = string(id.New()), s.now().UnixNano()
	ahead := 0
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		ahead = 0
		for range tx.Scan(fetchWaitKey+string(b.ID)+"/", "") {
			ahead++
		}
		remembered := 0
		for range tx.Scan(fetchJobKey+string(b.ID)+"/", "") {
			remembered++
		}
		if err := tx.ScanErr(); err != nil {
			return err
		}
		if remembered >= fetchMost {
			return failed("SlowDown", fail.New(fail.RateLimited, "bucket %s has %d fetch jobs of the last days", b.Name, remembered).Then("wait until old ones are forgotten, after three days"))
		}
		if err := tx.Put(fetchJobKey+string(b.ID)+"/"+j.ID, encode(&j)); err != nil {
			return err
		}
		u, _ := url.Parse(j.URLs[0])
		return tx.Put(fetchWaitKey+string(b.ID)+"/"+short(u.Host)+"/"+j.ID, encode(&j.At))
	})
	return &j, ahead, err
}

// FetchJob gives a job, for a caller that may read the bucket's fetch policy.
func (s *Service) FetchJob(ctx context.Context, c *Caller, name, job string) (j *FetchJob, err error) {
	_, err = s.enter(ctx, c, name, "", wish{s.Rows.D, "read", "obs:bucket:GetBucketFetchPolicy"}, func(tx store.Tx, b *bucket) error {
		raw, ok, err := tx.Get(fetchJobKey + string(b.ID) + "/" + job)
		if err != nil {
			return err
		}
		if !ok {
			return failed("NoSuchJob", fail.New(fail.NotFound, "there is no fetch job %q", job).Then("jobs are forgotten after three days"))
		}
		j, err = decode[FetchJob](raw)
		return err
	})
	return j, err
}

func (s *Service) fetchJobs() *outbox {
	at := func(v []byte) (time.Time, error) {
		n, err := decode[int64](v)
		if err != nil {
			return time.Time{}, err
		}
		return time.Unix(0, *n), nil
	}
	return &outbox{s: s, prefix: fetchWaitKey, batch: 1, slots: fetchSlots, at: at, send: s.fetchJob,
		lost: func(tx store.Tx, b *bucket, _ string, batch []waiting, err error) error {
			for _, w := range batch {
				if e := s.settleFetch(tx, b, w.key, func(j *FetchJob) { j.Done, j.Error = true, outward.Why(err) }); e != nil {
					return e
				}
			}
			return nil
		},
		failing: func(tx store.Tx, b *bucket, _ string, err error) error {
			return s.note(tx, b.ID, event.Warning, "FetchWaits", "an object cannot be fetched, and it is tried again: "+outward.Why(err))
		}}
}

func (s *Service) settleFetch(tx store.Tx, b *bucket, waits string, change func(*FetchJob)) error {
	k := fetchJobKey + string(b.ID) + waits[strings.LastIndexByte(waits, '/'):]
	raw, ok, err := tx.Get(k)
	if err != nil || !ok {
		return err
	}
	j, err := decode[FetchJob](raw)
	if err != nil {
		return err
	}
	change(j)
	return tx.Put(k, encode(j))
}

// fetchJob does one job. What the other side refuses for good, and what failed a few times, ends it.
func (s *Service) fetchJob(ctx context.Context, b *bucket, _ string, batch []waiting) error {
	var j *FetchJob
	err := s.Store.View(ctx, func(tx store.Tx) error {
		raw, ok, err := tx.Get(fetchJobKey + string(b.ID) + batch[0].key[strings.LastIndexByte(batch[0].key, '/'):])
		if err == nil && ok {
			j, err = decode[FetchJob](raw)
		}
		return err
	})
	if err != nil {
		return err
	}
	if j == nil || j.Done {
		allDone(batch)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, mirrorTime)
	defer cancel()
	o, err := s.fetchFrom(ctx, b, j)
	if ctx.Err() != nil && s.ctx.Err() != nil {
		return ctx.Err() // the cloud stops: another day
	}
	final := err == nil || j.Tries+1 >= fetchTries || fail.Is(err, fail.Invalid) || fail.Is(err, fail.Denied) || fail.Is(err, fail.NotFound) || fail.Is(err, fail.Quota) || fail.Is(err, fail.TooLarge)
	why := ""
	if err != nil {
		why = outward.Why(err)
	}
	if err == nil && o != nil && j.Callback != nil {
		if _, e := s.Callback(ctx, j.Callback, o); e != nil {
			why = outward.Why(e)
		}
	}
	_, e := s.Store.Update(ctx, func(tx store.Tx) error {
		return s.settleFetch(tx, b, batch[0].key, func(j *FetchJob) {
			j.Tries, j.Done, j.Error = j.Tries+1, final, why
			if o != nil {
				j.ETag = o.ETag
			}
		})
	})
	if e != nil {
		return e
	}
	if !final {
		return err
	}
	allDone(batch)
	return nil
}

// fetchFrom stores what a job's address gives; nil without an error where an object is there that is to stay.
func (s *Service) fetchFrom(ctx context.Context, b *bucket, j *FetchJob) (o *Object, err error) {
	for _, from := range j.URLs {
		if o, err = s.fetchOnce(ctx, b, j, from); err == nil {
			return o, nil
		}
	}
	return nil, err
}

func (s *Service) fetchOnce(ctx context.Context, b *bucket, j *FetchJob, from string) (*Object, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "the address cannot be used")
	}
	req.Host = j.Host
	req.Header.Set("User-Agent", "awan-buckets")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := s.Outward.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests:
		return nil, fail.New(fail.NotFound, "it answered %s", resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, fail.New(fail.Unavailable, "it answered %s", resp.Status)
	case resp.ContentLength > MaxPut:
		return nil, fail.New(fail.TooLarge, "it is larger than 5 GiB")
	}
	in := &PutInput{Bucket: b.Name, Key: j.Key, Size: resp.ContentLength, Class: j.Class, Attributes: j.Attributes}
	if in.ContentType == "" {
		in.ContentType = resp.Header.Get("Content-Type")
	}
	if j.Keep {
		in.If = Conditions{IfNoneMatch: []string{"*"}}
	}
	in.Body = &most{resp.Body, MaxPut, func(why string) error { return fail.New(fail.Unavailable, "%s", why) }}
	if sum, _ := md5Of(j.MD5); len(sum) > 0 {
		in.Sums = []Sum{{Kind: "md5", Value: sum}}
	}
	o, err := s.Put(ctx, itself("fetch"), in)
	if CodeOf(err) == "PreconditionFailed" {
		return nil, nil
	}
	return o, err
}

// md5Of reads a sum in hex or base64; "" is none.
func md5Of(v string) ([]byte, bool) {
	raw, err := hex.DecodeString(v)
	if err != nil || len(raw) != 0 && len(raw) != 16 {
		raw, err = base64.StdEncoding.DecodeString(v)
	}
	return raw, err == nil && (len(raw) == 16 || v == "")
}

// forgetFetches removes what came of jobs that are long over.
func (s *Service) forgetFetches(ctx context.Context) error {
	limit := s.now().Add(-fetchKeep).UnixNano()
	var old []string
	err := s.Store.View(ctx, func(tx store.Tx) error {
		for k, v := range tx.Scan(fetchJobKey, "") {
			j, err := decode[FetchJob](v)
			if err != nil {
				return err
			}
			if j.Done && j.At < limit {
				if old = append(old, k); len(old) == 500 {
					break
				}
			}
		}
		return tx.ScanErr()
	})
	if err != nil || len(old) == 0 {
		return err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		for _, k := range old {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
