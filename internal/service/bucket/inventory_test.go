package bucket_test

import (
	"compress/gzip"
	"crypto/md5"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/service/bucket"
)

// TestInventory reads the lists as their readers do: by the manifest.
func TestInventory(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("lists", bucket.BucketSpec{})
	w.bucket("data", bucket.BucketSpec{Versioning: "enabled"})
	w.put("data", "in/ä b", "one")
	w.put("data", "in/ä b", "three")
	w.put("data", "in/gone", "x")
	w.put("data", "out", "x")
	if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "data", Key: "in/gone"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Change(ctx, w.me, "data", "", func(r *bucket.Row) error {
		r.Spec.Inventory = []bucket.Inventory{{ID: "all", Bucket: "lists", To: "inv/", Prefix: "in/", Versions: true, Fields: []string{"Size", "ETag", "StorageClass", "NoSuchField", "EncryptionStatus"}},
			{ID: "week", Bucket: "lists", Weekly: true}, {ID: "off", Disabled: true, Bucket: "lists"}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.Clock.Add(2 * day / 1440)
	w.event("data", "InventoryWritten", "inventory all lists 4 versions")
	w.event("data", "InventoryWritten", "inventory week lists 2 versions")

	manifests := func(id string) (keys []string) {
		l, err := w.List(ctx, w.me, &bucket.ListInput{Bucket: "lists", Max: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range l.Objects {
			if strings.Contains(o.Key, "/"+id+"/") && strings.HasSuffix(o.Key, "manifest.json") {
				keys = append(keys, o.Key)
			}
		}
		return keys
	}
	at := w.Clock.Now().UTC().Format("2006-01-02") + "T00-00Z"
	if got := manifests("all"); len(got) != 1 || got[0] != "inv/data/all/"+at+"/manifest.json" {
		t.Fatalf("%q", got)
	}
	raw, err := w.get(bucket.GetInput{Bucket: "lists", Key: "inv/data/all/" + at + "/manifest.json"})
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum([]byte(raw))
	if check, err := w.get(bucket.GetInput{Bucket: "lists", Key: "inv/data/all/" + at + "/manifest.checksum"}); check != hex.EncodeToString(sum[:]) {
		t.Errorf("%q, %v", check, err)
	}
	var m struct {
		FileSchema, SourceBucket, DestinationBucket string
		Files                                       []struct {
			Key, MD5checksum string
			Size             int
		}
	}
	if err := json.Unmarshal([]byte(raw), &m); err != nil || len(m.Files) != 1 || m.SourceBucket != "data" || m.DestinationBucket != "arn:aws:s3:::lists" ||
		m.FileSchema != "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass, EncryptionStatus" {
		t.Fatalf("%s, %v", raw, err)
	}
	file, err := w.get(bucket.GetInput{Bucket: "lists", Key: m.Files[0].Key})
	sum = md5.Sum([]byte(file))
	if err != nil || len(file) != m.Files[0].Size || m.Files[0].MD5checksum != hex.EncodeToString(sum[:]) {
		t.Fatalf("%d bytes, %v", len(file), err)
	}
	z, err := gzip.NewReader(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(r[1], " ", r[3], " ", r[4], " ", r[5], " ", r[8]))
	}
	if want := "in%2Fgone true true 0 STANDARD|in%2Fgone false false 1 STANDARD|in%2F%C3%A4+b true false 5 STANDARD|in%2F%C3%A4+b false false 3 STANDARD"; strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}

	w.Clock.Add(day)
	waitFor(t, "the next day's", func() ([]string, bool) { k := manifests("all"); return k, len(k) == 2 })
	if got := manifests("week"); len(got) != 1 {
		t.Errorf("weekly: %q", got)
	}
	w.Clock.Add(7 * day)
	waitFor(t, "the next week's", func() ([]string, bool) { k := manifests("week"); return k, len(k) == 2 })
}

// TestInventoryTarget: a list that cannot be written is told of, and tried again.
func TestInventoryTarget(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("lists", bucket.BucketSpec{Quota: 1})
	w.bucket("data", bucket.BucketSpec{Inventory: []bucket.Inventory{{ID: "all", Bucket: "lists"}}})
	w.put("data", "a", "x")
	w.Clock.Add(2 * day / 1440)
	w.event("data", "InventoryFailed", "its quota is 1")
	if err := w.Change(ctx, w.me, "lists", "", func(r *bucket.Row) error { r.Spec.Quota = 0; return nil }); err != nil {
		t.Fatal(err)
	}
	w.Clock.Add(day / 12)
	w.event("data", "InventoryWritten", "lists 1 versions")
}
