package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-obs/obs"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestOBS is a bucket's life as Huawei Cloud's SDK for Go lives it, under each of its three signatures.
func TestOBS(t *testing.T) {
	c := cloudtest.Start(t)
	for _, signature := range []obs.SignatureType{obs.SignatureObs, obs.SignatureV2, obs.SignatureV4} {
		t.Run(string(signature), func(t *testing.T) {
			name := "obs-" + strings.ToLower(string(signature))
			cl := obsClient(t, c, signature)
			in := &obs.CreateBucketInput{Bucket: name, StorageClass: obs.StorageClassWarm}
			in.Location = "awan-1"
			must[*obs.BaseModel](t)(cl.CreateBucket(in))
			obsBucket(t, cl, name, signature)
			obsObjects(t, c, cl, name)
			obsParts(t, cl, name)
			empty(t, cl, name)
			must[*obs.BaseModel](t)(cl.DeleteBucket(name))
			if _, err := cl.HeadBucket(name); err == nil || err.(obs.ObsError).StatusCode != 404 {
				t.Errorf("head of what was deleted: %v", err)
			}
		})
	}
}

// obsBucket reads what Terraform reads at every refresh, sets it, and reads it again.
func obsBucket(t *testing.T, cl *obs.ObsClient, name string, signature obs.SignatureType) {
	t.Helper()
	if m := must[*obs.GetBucketMetadataOutput](t)(cl.GetBucketMetadata(&obs.GetBucketMetadataInput{Bucket: name})); m.StorageClass != obs.StorageClassWarm || m.Location != "awan-1" ||
		m.Version != "3.0" || m.Epid != "0" {
		t.Errorf("metadata: %+v", m)
	}
	if l := must[*obs.GetBucketLocationOutput](t)(cl.GetBucketLocation(name)); l.Location != "awan-1" {
		t.Errorf("location: %+v", l)
	}
	if l := must[*obs.ListBucketsOutput](t)(cl.ListBuckets(&obs.ListBucketsInput{QueryLocation: true})); len(l.Buckets) != 1 || l.Buckets[0].Location != "awan-1" {
		t.Errorf("buckets: %+v", l)
	}
	for want, ask := range map[string]func() error{
		"NoSuchLifecycleConfiguration": func() error { _, err := cl.GetBucketLifecycleConfiguration(name); return err },
		"NoSuchWebsiteConfiguration":   func() error { _, err := cl.GetBucketWebsiteConfiguration(name); return err },
		"NoSuchCORSConfiguration":      func() error { _, err := cl.GetBucketCors(name); return err },
		"NoSuchBucketPolicy":           func() error { _, err := cl.GetBucketPolicy(name); return err },
		"NoSuchTagSet":                 func() error { _, err := cl.GetBucketTagging(name); return err },
	} {
		if err := ask(); code(err) != want || err.(obs.ObsError).StatusCode != 404 {
			t.Errorf("want %s: %v", want, err)
		}
	}
	if signature != obs.SignatureV4 {
		if _, err := cl.GetBucketEncryption(name); code(err) != "NoSuchEncryptionConfiguration" {
			t.Errorf("encryption: %v", err)
		}
	}
	quota := &obs.SetBucketQuotaInput{Bucket: name}
	quota.Quota = 1 << 30
	must[*obs.BaseModel](t)(cl.SetBucketQuota(quota))
	if q := must[*obs.GetBucketQuotaOutput](t)(cl.GetBucketQuota(name)); q.Quota != 1<<30 {
		t.Errorf("quota: %+v", q)
	}
	class := &obs.SetBucketStoragePolicyInput{Bucket: name}
	class.StorageClass = obs.StorageClassStandard
	must[*obs.BaseModel](t)(cl.SetBucketStoragePolicy(class))
	if q := must[*obs.GetBucketStoragePolicyOutput](t)(cl.GetBucketStoragePolicy(name)); q.StorageClass != "STANDARD" {
		t.Errorf("class: %+v", q)
	}
	rule := obs.LifecycleRule{ID: "old", Prefix: "logs/", Status: obs.RuleStatusEnabled, Transitions: []obs.Transition{{Days: 30, StorageClass: obs.StorageClassCold}}}
	rule.Expiration.Days = 90
	life := &obs.SetBucketLifecycleConfigurationInput{Bucket: name}
	life.LifecycleRules = []obs.LifecycleRule{rule}
	must[*obs.BaseModel](t)(cl.SetBucketLifecycleConfiguration(life))
	if l := must[*obs.GetBucketLifecycleConfigurationOutput](t)(cl.GetBucketLifecycleConfiguration(name)); len(l.LifecycleRules) != 1 || l.LifecycleRules[0].Expiration.Days != 90 ||
		l.LifecycleRules[0].Transitions[0].StorageClass != obs.StorageClassCold && signature == obs.SignatureObs {
		t.Errorf("lifecycle: %+v", l.LifecycleRules)
	}
	tags := &obs.SetBucketTaggingInput{Bucket: name}
	tags.Tags = []obs.Tag{{Key: "team", Value: "a b"}}
	must[*obs.BaseModel](t)(cl.SetBucketTagging(tags))
	if g := must[*obs.GetBucketTaggingOutput](t)(cl.GetBucketTagging(name)); len(g.Tags) != 1 || g.Tags[0].Value != "a b" {
		t.Errorf("tags: %+v", g)
	}
	version := &obs.SetBucketVersioningInput{Bucket: name}
	version.Status = obs.VersioningStatusEnabled
	must[*obs.BaseModel](t)(cl.SetBucketVersioning(version))
	if v := must[*obs.GetBucketVersioningOutput](t)(cl.GetBucketVersioning(name)); v.Status != obs.VersioningStatusEnabled {
		t.Errorf("versioning: %+v", v)
	}
	acl := must[*obs.GetBucketAclOutput](t)(cl.GetBucketAcl(name))
	if len(acl.Grants) != 1 || acl.Grants[0].Permission != obs.PermissionFullControl || acl.Owner.ID == "" {
		t.Errorf("acl: %+v", acl)
	}
	must[*obs.BaseModel](t)(cl.SetBucketPolicy(&obs.SetBucketPolicyInput{Bucket: name,
		Policy: fmt.Sprintf(`{"Statement":[{"Sid":"a","Effect":"Allow","Principal":{"ID":["domain/%s:user/*"]},"Action":["GetObject"],"Resource":["%s/*"]}]}`, acl.Owner.ID, name)}))
	if p := must[*obs.GetBucketPolicyOutput](t)(cl.GetBucketPolicy(name)); !strings.Contains(p.Policy, `"GetObject"`) {
		t.Errorf("policy: %+v", p)
	}
	must[*obs.BaseModel](t)(cl.DeleteBucketPolicy(name))
	site := &obs.SetBucketWebsiteConfigurationInput{Bucket: name}
	site.IndexDocument.Suffix, site.ErrorDocument.Key = "index.html", "404.html"
	must[*obs.BaseModel](t)(cl.SetBucketWebsiteConfiguration(site))
	if w := must[*obs.GetBucketWebsiteConfigurationOutput](t)(cl.GetBucketWebsiteConfiguration(name)); w.IndexDocument.Suffix != "index.html" || w.ErrorDocument.Key != "404.html" {
		t.Errorf("website: %+v", w)
	}
	rules := &obs.SetBucketCorsInput{Bucket: name}
	rules.CorsRules = []obs.CorsRule{{AllowedOrigin: []string{"https://*.example.com"}, AllowedMethod: []string{"GET"}, AllowedHeader: []string{"*"}, MaxAgeSeconds: 60}}
	must[*obs.BaseModel](t)(cl.SetBucketCors(rules))
	if m := must[*obs.GetBucketMetadataOutput](t)(cl.GetBucketMetadata(&obs.GetBucketMetadataInput{Bucket: name, Origin: "https://a.example.com"})); signature != obs.SignatureV4 && m.AllowOrigin != "" {
		t.Errorf("CORS of a HEAD, which the rule does not name: %q", m.AllowOrigin)
	}
}

func obsObjects(t *testing.T, c *cloudtest.Cloud, cl *obs.ObsClient, name string) {
	t.Helper()
	key := "文件/a b+c&d.txt"
	put := &obs.PutObjectInput{Body: strings.NewReader("hello")}
	put.Bucket, put.Key, put.Metadata, put.ContentType = name, key, map[string]string{"who": "me"}, "text/plain"
	must[*obs.PutObjectOutput](t)(cl.PutObject(put))
	in := &obs.GetObjectInput{}
	in.Bucket, in.Key = name, key
	get := must[*obs.GetObjectOutput](t)(cl.GetObject(in))
	if b := must[[]byte](t)(io.ReadAll(get.Body)); string(b) != "hello" || get.Metadata["who"] != "me" || get.ContentType != "text/plain" || get.VersionId == "" {
		t.Errorf("get: %q %+v", b, get)
	}
	cp := &obs.CopyObjectInput{CopySourceBucket: name, CopySourceKey: key}
	cp.Bucket, cp.Key = name, "copy"
	must[*obs.CopyObjectOutput](t)(cl.CopyObject(cp))
	meta := &obs.SetObjectMetadataInput{Bucket: name, Key: "copy", MetadataDirective: obs.ReplaceNew, Metadata: map[string]string{"more": "yes"}}
	must[*obs.SetObjectMetadataOutput](t)(cl.SetObjectMetadata(meta))
	head := must[*obs.GetObjectMetadataOutput](t)(cl.GetObjectMetadata(&obs.GetObjectMetadataInput{Bucket: name, Key: "copy"}))
	if head.Metadata["more"] != "yes" || head.Metadata["who"] != "me" || head.ContentLength != 5 {
		t.Errorf("after new metadata: %+v", head)
	}
	link := must[*obs.CreateSignedUrlOutput](t)(cl.CreateSignedUrl(&obs.CreateSignedUrlInput{Method: obs.HttpMethodGet, Bucket: name, Key: key, Expires: 60}))
	hc := &http.Client{Transport: transport(t, c), Timeout: time.Minute}
	r := must[*http.Request](t)(http.NewRequest("GET", link.SignedUrl, nil))
	r.Header = link.ActualSignedRequestHeaders
	if h := r.Header.Get("Host"); h != "" {
		r.Host = h
	}
	res := must[*http.Response](t)(hc.Do(r))
	if b := must[[]byte](t)(io.ReadAll(res.Body)); string(b) != "hello" {
		t.Errorf("link %s: %s %s", link.SignedUrl, res.Status, b)
	}
	res.Body.Close()
	list := &obs.ListObjectsInput{Bucket: name}
	list.MaxKeys, list.EncodingType = 1, "url"
	var keys []string
	for {
		page := must[*obs.ListObjectsOutput](t)(cl.ListObjects(list))
		for _, o := range page.Contents {
			keys = append(keys, o.Key)
		}
		if list.Marker = page.NextMarker; !page.IsTruncated || list.Marker == "" {
			break
		}
	}
	if fmt.Sprint(keys) != fmt.Sprint([]string{"copy", key}) {
		t.Errorf("listed %q", keys)
	}
	grant := &obs.SetObjectAclInput{Bucket: name, Key: "copy", ACL: obs.AclPublicRead}
	if _, err := cl.SetObjectAcl(grant); code(err) != "AccessDenied" {
		t.Errorf("a public object in a bucket that blocks it: %v", err)
	}
	info := must[*obs.GetBucketStorageInfoOutput](t)(cl.GetBucketStorageInfo(name))
	if info.Size == 0 || info.ObjectNumber == 0 {
		t.Errorf("storage: %+v", info)
	}
}

func obsParts(t *testing.T, cl *obs.ObsClient, name string) {
	t.Helper()
	begin := &obs.InitiateMultipartUploadInput{}
	begin.Bucket, begin.Key = name, "big"
	up := must[*obs.InitiateMultipartUploadOutput](t)(cl.InitiateMultipartUpload(begin))
	done := &obs.CompleteMultipartUploadInput{Bucket: name, Key: "big", UploadId: up.UploadId}
	for i, size := range []int{5 << 20, 9} {
		p := must[*obs.UploadPartOutput](t)(cl.UploadPart(&obs.UploadPartInput{Bucket: name, Key: "big", UploadId: up.UploadId, PartNumber: i + 1, Body: bytes.NewReader(make([]byte, size))}))
		done.Parts = append(done.Parts, obs.Part{PartNumber: i + 1, ETag: p.ETag})
	}
	if l := must[*obs.ListPartsOutput](t)(cl.ListParts(&obs.ListPartsInput{Bucket: name, Key: "big", UploadId: up.UploadId})); len(l.Parts) != 2 {
		t.Errorf("parts: %+v", l)
	}
	must[*obs.CompleteMultipartUploadOutput](t)(cl.CompleteMultipartUpload(done))
	head := must[*obs.GetObjectMetadataOutput](t)(cl.GetObjectMetadata(&obs.GetObjectMetadataInput{Bucket: name, Key: "big"}))
	if head.ContentLength != 5<<20+9 {
		t.Errorf("completed: %+v", head)
	}
}

// empty deletes all versions, as Terraform's force_destroy does.
func empty(t *testing.T, cl *obs.ObsClient, name string) {
	t.Helper()
	l := must[*obs.ListVersionsOutput](t)(cl.ListVersions(&obs.ListVersionsInput{Bucket: name}))
	in := &obs.DeleteObjectsInput{Bucket: name}
	for _, v := range l.Versions {
		in.Objects = append(in.Objects, obs.ObjectToDelete{Key: v.Key, VersionId: v.VersionId})
	}
	for _, v := range l.DeleteMarkers {
		in.Objects = append(in.Objects, obs.ObjectToDelete{Key: v.Key, VersionId: v.VersionId})
	}
	if out := must[*obs.DeleteObjectsOutput](t)(cl.DeleteObjects(in)); len(out.Errors) > 0 || len(out.Deleteds) != len(in.Objects) {
		t.Errorf("deleted: %+v", out)
	}
}

// TestOBSFiles are the operations that OBS has beyond S3: append, and in a bucket with a file interface modify and rename.
func TestOBSFiles(t *testing.T) {
	c := cloudtest.Start(t)
	cl := obsClient(t, c, obs.SignatureObs)
	must[*obs.BaseModel](t)(cl.CreateBucket(&obs.CreateBucketInput{Bucket: "plain"}))
	must[*obs.BaseModel](t)(cl.CreateBucket(&obs.CreateBucketInput{Bucket: "posix", IsFSFileInterface: true}))
	read := func(bucket, key string) string {
		in := &obs.GetObjectInput{}
		in.Bucket, in.Key = bucket, key
		return string(must[[]byte](t)(io.ReadAll(must[*obs.GetObjectOutput](t)(cl.GetObject(in)).Body)))
	}
	at := int64(0)
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		in := &obs.AppendObjectInput{Body: strings.NewReader(line), Position: at}
		in.Bucket, in.Key = "plain", "log"
		out := must[*obs.AppendObjectOutput](t)(cl.AppendObject(in))
		if at += int64(len(line)); out.NextAppendPosition != at {
			t.Errorf("next append at %d, want %d", out.NextAppendPosition, at)
		}
	}
	if got := read("plain", "log"); got != "one\ntwo\nthree\n" {
		t.Errorf("appended: %q", got)
	}
	in := &obs.AppendObjectInput{Body: strings.NewReader("x"), Position: 3}
	in.Bucket, in.Key = "plain", "log"
	if _, err := cl.AppendObject(in); code(err) != "PositionNotEqualToLength" || err.(obs.ObsError).StatusCode != 409 {
		t.Errorf("append in the middle: %v", err)
	}
	if m := must[*obs.GetBucketFSStatusOutput](t)(cl.GetBucketFSStatus(&obs.GetBucketFSStatusInput{GetBucketMetadataInput: obs.GetBucketMetadataInput{Bucket: "posix"}})); m.GetBucketMetadataOutput.FSStatus != obs.FSStatusEnabled {
		t.Errorf("file interface: %+v", m)
	}
	put := &obs.PutObjectInput{Body: strings.NewReader("0123456789")}
	put.Bucket, put.Key = "posix", "dir/file"
	must[*obs.PutObjectOutput](t)(cl.PutObject(put))
	must[*obs.ModifyObjectOutput](t)(cl.ModifyObject(&obs.ModifyObjectInput{Bucket: "posix", Key: "dir/file", Position: 3, Body: strings.NewReader("abc"), ContentLength: 3}))
	must[*obs.RenameFileOutput](t)(cl.RenameFile(&obs.RenameFileInput{Bucket: "posix", Key: "dir/file", NewObjectKey: "dir/other"}))
	if got := read("posix", "dir/other"); got != "012abc6789" {
		t.Errorf("modified and renamed: %q", got)
	}
}
