package bucket

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/outward"
)

// inventoryKey is when an inventory was last written: bucket/inventory/BUCKET/ID.
const inventoryKey = "bucket/inventory/"

const (
	inventoryCheck = time.Minute
	inventoryAgain = time.Hour // behind a failure
	inventoryRows  = 1_000_000 // of one file
	daily, weekly  = 24 * time.Hour, 7 * 24 * time.Hour
)

// inventories writes the lists that are due: the first at once, then every day or week, some time after midnight (UTC).
func (s *Service) inventories(ctx context.Context) error {
	now := s.now()
	if now.Sub(s.tasks.listed).Abs() < inventoryCheck {
		return nil
	}
	s.tasks.listed = now
	if s.tasks.failed == nil {
		s.tasks.failed = map[string]time.Time{}
	}
	return s.each(ctx, func(b *bucket) error {
		for i := range b.Spec.Inventory {
			inv := &b.Spec.Inventory[i]
			at := inventoryKey + string(b.ID) + "/" + inv.ID
			if inv.Disabled || now.Before(s.tasks.failed[at]) {
				continue
			}
			var last *int64
			err := s.Store.View(ctx, func(tx store.Tx) (err error) {
				last, err = read[int64](tx, at)
				return err
			})
			if err != nil {
				return err
			}
			every := daily
			if inv.Weekly {
				every = weekly
			}
			today := now.Truncate(daily)
			if last != nil && today.Sub(time.Unix(0, *last)) < every {
				continue
			}
			rows, err := s.inventory(ctx, b, inv, today)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			delete(s.tasks.failed, at)
			if err != nil {
				s.tasks.failed[at] = now.Add(inventoryAgain)
			}
			_, uerr := s.Store.Update(ctx, func(tx store.Tx) error {
				if b, err := s.byID(tx, b.ID); err != nil || b == nil {
					return err
				}
				if err != nil {
					return s.note(tx, b.ID, event.Error, "InventoryFailed", fmt.Sprintf("inventory %s could not be written into bucket %s, and is tried again in an hour: %s", inv.ID, inv.Bucket, outward.Why(err)))
				}
				if err := s.note(tx, b.ID, event.Info, "InventoryWritten", fmt.Sprintf("inventory %s lists %d versions in bucket %s", inv.ID, rows, inv.Bucket)); err != nil {
					return err
				}
				done := today.UnixNano()
				return tx.Put(at, encode(&done))
			})
			if uerr != nil {
				return uerr
			}
		}
		return nil
	})
}

// manifest is S3's: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
type manifest struct {
	Source  string         `json:"sourceBucket"`
	To      string         `json:"destinationBucket"`
	Version string         `json:"version"`
	Created string         `json:"creationTimestamp"` // milliseconds
	Format  string         `json:"fileFormat"`
	Schema  string         `json:"fileSchema"`
	Files   []manifestFile `json:"files"`
}

type manifestFile struct {
	Key  string `json:"key"`
	Size int64  `json:"size"`
	MD5  string `json:"MD5checksum"`
}

// inventory writes one list. Its files have the same names when it is written again for the same day, so that a crash
// leaves nothing behind; the manifest comes last.
func (s *Service) inventory(ctx context.Context, b *bucket, inv *Inventory, day time.Time) (rows int64, err error) {
	base := b.Name + "/" + inv.ID + "/"
	if inv.To != "" {
		base = strings.TrimSuffix(inv.To, "/") + "/" + base
	}
	columns := inv.columns()
	m := manifest{Source: b.Name, To: "arn:aws:s3:::" + inv.Bucket, Version: "2016-11-30", Created: strconv.FormatInt(s.now().UnixMilli(), 10), Format: "CSV", Schema: strings.Join(columns, ", ")}
	l := &inventoryList{s: s, b: b, inv: inv, columns: columns}
	for part := 0; !l.end; part++ {
		f := manifestFile{Key: base + "data/" + short(string(b.ID), inv.ID, day.Format(time.DateOnly), strconv.Itoa(part)) + ".csv.gz"}
		pr, pw := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = pw.CloseWithError(l.file(ctx, pw))
		}()
		sum := &counted{Reader: pr, sum: NewHash("md5")}
		err := s.deliver(ctx, b.Project, inv.Bucket, &PutInput{Key: f.Key, Body: sum, Size: -1, Attributes: Attributes{ContentType: "application/gzip"}}, "inventory")
		_ = pr.CloseWithError(io.ErrClosedPipe)
		<-done
		if err != nil {
			return 0, err
		}
		f.Size, f.MD5 = sum.n, hex.EncodeToString(sum.sum.Sum(nil))
		m.Files = append(m.Files, f)
	}
	raw, err := json.MarshalIndent(&m, "", "  ")
	if err != nil {
		return 0, err
	}
	digest := NewHash("md5")
	digest.Write(raw)
	for _, f := range []struct {
		name, typ string
		body      []byte
	}{{"manifest.json", "application/json", raw}, {"manifest.checksum", "text/plain", []byte(hex.EncodeToString(digest.Sum(nil)))}} {
		in := &PutInput{Key: base + day.Format("2006-01-02T15-04Z") + "/" + f.name, Body: bytes.NewReader(f.body), Size: int64(len(f.body)), Attributes: Attributes{ContentType: f.typ}}
		if err := s.deliver(ctx, b.Project, inv.Bucket, in, "inventory"); err != nil {
			return 0, err
		}
	}
	return l.rows, nil
}

// counted knows how much was read, and its MD5.
type counted struct {
	io.Reader
	n   int64
	sum hash.Hash
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	c.sum.Write(p[:n])
	return n, err
}

// inventoryFields are what a row may say beside name, version, size and time, in S3's words.
var inventoryFields = map[string]func(*Object) string{
	"ETag":         func(o *Object) string { return o.ETag },
	"StorageClass": func(o *Object) string { return classes[o.Class] },
	"IsMultipartUploaded": func(o *Object) string {
		return strconv.FormatBool(len(o.Parts) > 0)
	},
	"ReplicationStatus":         func(o *Object) string { return o.Replication },
	"EncryptionStatus":          func(o *Object) string { return encryption[o.Protect.Algorithm] },
	"ObjectLockRetainUntilDate": func(o *Object) string { return stampOf(o.Lock.Until) },
	"ObjectLockMode":            func(o *Object) string { return strings.ToUpper(o.Lock.Mode) },
	"ObjectLockLegalHoldStatus": func(o *Object) string { return map[bool]string{true: "ON", false: "OFF"}[o.Hold] },
	"ObjectOwner":               func(o *Object) string { return o.Owner },
	"ChecksumAlgorithm": func(o *Object) string {
		for kind := range o.Sums {
			return strings.ToUpper(kind)
		}
		return ""
	},
}

var encryption = map[string]string{"AES256": "SSE-S3", "kms": "SSE-KMS", byCustomer: "SSE-C"}

func stampOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// columns of the list, in order.
func (inv *Inventory) columns() []string {
	out := []string{"Bucket", "Key"}
	if inv.Versions {
		out = append(out, "VersionId", "IsLatest", "IsDeleteMarker")
	}
	out = append(out, "Size", "LastModifiedDate")
	for _, f := range inv.Fields {
		if inventoryFields[f] != nil && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// inventoryList walks a bucket, a page in one view.
type inventoryList struct {
	s       *Service
	b       *bucket
	inv     *Inventory
	columns []string
	in      ListInput
	rows    int64
	end     bool
}

// file writes the rows of one file.
func (l *inventoryList) file(ctx context.Context, to io.Writer) error {
	z := gzip.NewWriter(to)
	for n := 0; n < inventoryRows && !l.end; {
		var out Listing
		l.in.Bucket, l.in.Prefix, l.in.Versions, l.in.Max = l.b.Name, l.inv.Prefix, l.inv.Versions, MaxList
		err := l.s.Store.View(ctx, func(tx store.Tx) error {
			out = Listing{}
			w := &lister{tx: tx, b: l.b, in: &l.in, out: &out, max: MaxList}
			if l.inv.Versions {
				return w.versions()
			}
			return w.objects()
		})
		if err != nil {
			return err
		}
		for i := range out.Objects {
			if _, err := io.WriteString(z, l.row(&out.Objects[i])); err != nil {
				return err
			}
		}
		n += len(out.Objects)
		l.rows += int64(len(out.Objects))
		l.in.After, l.in.AfterVersion, l.end = out.Next, out.NextVersion, !out.Truncated
		if err := rest(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return z.Close()
}

func (l *inventoryList) row(o *Object) string {
	fields := make([]string, len(l.columns))
	for i, c := range l.columns {
		var v string
		switch c {
		case "Bucket":
			v = o.Bucket
		case "Key":
			v = url.QueryEscape(o.Key)
		case "VersionId":
			if v = o.Version; v == nullVersion {
				v = ""
			}
		case "IsLatest":
			v = strconv.FormatBool(o.Latest)
		case "IsDeleteMarker":
			v = strconv.FormatBool(o.Marker)
		case "Size":
			v = strconv.FormatInt(o.Size, 10)
		case "LastModifiedDate":
			v = stampOf(o.Modified)
		default:
			v = inventoryFields[c](o)
		}
		fields[i] = `"` + v + `"`
	}
	return strings.Join(fields, ",") + "\n"
}
