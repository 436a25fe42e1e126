package s3_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestSettingsComeBack: what Amazon's SDK writes it reads again, word for word; and what S3 has no word for is not lost when it
// writes back what it read.
func TestSettingsComeBack(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx, name := awsClient(t, c), t.Context(), aws.String("from")
	for _, b := range []string{"from", "there"} {
		must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b}))
		must[*s3.PutBucketVersioningOutput](t)(cl.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: &b,
			VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}))
	}
	notifications := &types.NotificationConfiguration{
		TopicConfigurations: []types.TopicConfiguration{{Id: aws.String("t"), TopicArn: aws.String("https://hook.example.org/t"), Events: []types.Event{types.EventS3ObjectCreated},
			Filter: &types.NotificationConfigurationFilter{Key: &types.S3KeyFilter{FilterRules: []types.FilterRule{{Name: "prefix", Value: aws.String("in/")}, {Name: "suffix", Value: aws.String(".jpg")}}}}}},
		QueueConfigurations:          []types.QueueConfiguration{{Id: aws.String("q"), QueueArn: aws.String("https://hook.example.org/q"), Events: []types.Event{types.EventS3ObjectRemovedDelete, types.EventS3ObjectCreatedPut}}},
		LambdaFunctionConfigurations: []types.LambdaFunctionConfiguration{{Id: aws.String("f"), LambdaFunctionArn: aws.String("https://hook.example.org/f"), Events: []types.Event{types.EventS3ObjectCreatedCopy}}},
	}
	put := func(n *types.NotificationConfiguration) error {
		_, err := cl.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{Bucket: name, NotificationConfiguration: n})
		return err
	}
	get := func() *types.NotificationConfiguration {
		out := must[*s3.GetBucketNotificationConfigurationOutput](t)(cl.GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{Bucket: name}))
		return &types.NotificationConfiguration{TopicConfigurations: out.TopicConfigurations, QueueConfigurations: out.QueueConfigurations, LambdaFunctionConfigurations: out.LambdaFunctionConfigurations}
	}
	ok(t, put(notifications))
	same(t, "notifications", notifications, get())
	if err := put(&types.NotificationConfiguration{TopicConfigurations: []types.TopicConfiguration{{TopicArn: aws.String("arn:aws:sns:a:b:c"), Events: []types.Event{types.EventS3ObjectCreated}}}}); code(err) != "InvalidArgument" {
		t.Errorf("an address that cannot be called: %v", err)
	}

	inventory := &types.InventoryConfiguration{Id: aws.String("all"), IsEnabled: aws.Bool(true), IncludedObjectVersions: types.InventoryIncludedObjectVersionsAll,
		Destination: &types.InventoryDestination{S3BucketDestination: &types.InventoryS3BucketDestination{Bucket: aws.String("arn:aws:s3:::there"), Format: types.InventoryFormatCsv, Prefix: aws.String("lists")}},
		Schedule:    &types.InventorySchedule{Frequency: types.InventoryFrequencyWeekly}, Filter: &types.InventoryFilter{Prefix: aws.String("in/")},
		OptionalFields: []types.InventoryOptionalField{types.InventoryOptionalFieldSize, types.InventoryOptionalFieldETag}}
	must[*s3.PutBucketInventoryConfigurationOutput](t)(cl.PutBucketInventoryConfiguration(ctx, &s3.PutBucketInventoryConfigurationInput{Bucket: name, Id: aws.String("all"), InventoryConfiguration: inventory}))
	same(t, "inventory", inventory, must[*s3.GetBucketInventoryConfigurationOutput](t)(cl.GetBucketInventoryConfiguration(ctx, &s3.GetBucketInventoryConfigurationInput{Bucket: name, Id: aws.String("all")})).InventoryConfiguration)
	if l := must[*s3.ListBucketInventoryConfigurationsOutput](t)(cl.ListBucketInventoryConfigurations(ctx, &s3.ListBucketInventoryConfigurationsInput{Bucket: name})); len(l.InventoryConfigurationList) != 1 {
		t.Errorf("inventories: %+v", l)
	}
	must[*s3.DeleteBucketInventoryConfigurationOutput](t)(cl.DeleteBucketInventoryConfiguration(ctx, &s3.DeleteBucketInventoryConfigurationInput{Bucket: name, Id: aws.String("all")}))

	replication := &types.ReplicationConfiguration{Role: aws.String("arn:aws:iam::1:role/copy"), Rules: []types.ReplicationRule{{ID: aws.String("r"), Priority: aws.Int32(1), Status: types.ReplicationRuleStatusEnabled,
		Filter: &types.ReplicationRuleFilter{Prefix: aws.String("in/")}, Destination: &types.Destination{Bucket: aws.String("arn:aws:s3:::there"), StorageClass: types.StorageClassStandardIa},
		DeleteMarkerReplication: &types.DeleteMarkerReplication{Status: types.DeleteMarkerReplicationStatusEnabled}}}}
	must[*s3.PutBucketReplicationOutput](t)(cl.PutBucketReplication(ctx, &s3.PutBucketReplicationInput{Bucket: name, ReplicationConfiguration: replication}))
	same(t, "replication", replication, must[*s3.GetBucketReplicationOutput](t)(cl.GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: name})).ReplicationConfiguration)
	must[*s3.DeleteBucketReplicationOutput](t)(cl.DeleteBucketReplication(ctx, &s3.DeleteBucketReplicationInput{Bucket: name}))

	// What our own API added stays when S3 writes back what it read.
	me := &bucket.Caller{Principal: c.Root}
	ok(t, c.Buckets.Change(ctx, me, "from", "obs:bucket:PutBucketNotification", func(r *bucket.Row) error {
		for i := range r.Spec.Notifications {
			r.Spec.Notifications[i].Secret = "hush " + r.Spec.Notifications[i].ID + strings.Repeat("!", 200)
		}
		r.Spec.Replication = []bucket.Replication{{ID: "far", Bucket: "far", Endpoint: "https://s3.example.org", AccessKey: "a", SecretKey: "s", Priority: 1}}
		return nil
	}))
	secrets := func() string {
		row := must[*bucket.Row](t)(c.Buckets.Bucket(ctx, me, "from", ""))
		out := ""
		for i := range row.Spec.Notifications {
			n := &row.Spec.Notifications[i]
			out += fmt.Sprintln(n.ID, must[string](t)(c.Door.Unseal(&row.Meta, "spec", "notifications.secret", n.Secret)))
		}
		for i := range row.Spec.Replication {
			r := &row.Spec.Replication[i]
			out += fmt.Sprintln(r.ID, r.Endpoint, r.AccessKey, must[string](t)(c.Door.Unseal(&row.Meta, "spec", "replication.secret_key", r.SecretKey)))
		}
		return out
	}
	was, back := secrets(), get()
	back.TopicConfigurations[0].Events = append(back.TopicConfigurations[0].Events, types.EventS3ObjectRemoved)
	ok(t, put(back))
	rules := must[*s3.GetBucketReplicationOutput](t)(cl.GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: name})).ReplicationConfiguration
	rules.Role = aws.String("arn:aws:iam::1:role/copy") // the SDK writes none back without
	rules.Rules[0].Filter = &types.ReplicationRuleFilter{Prefix: aws.String("new/")}
	must[*s3.PutBucketReplicationOutput](t)(cl.PutBucketReplication(ctx, &s3.PutBucketReplicationInput{Bucket: name, ReplicationConfiguration: rules}))
	if is := secrets(); is != was || !strings.Contains(is, "hush t!") || !strings.Contains(is, "hush q!") {
		t.Errorf("behind S3's back lay\n%snow\n%s", was, is)
	}
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if !reflect.DeepEqual(plain(want), plain(got)) {
		t.Errorf("%s: wrote %v, read %v", what, plain(want), plain(got))
	}
}

// plain is a value without pointers and without the SDK's empty parts.
func plain(v any) any {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Pointer, reflect.Interface:
		if r.IsNil() {
			return nil
		}
		return plain(r.Elem().Interface())
	case reflect.Struct:
		m := map[string]any{}
		for i := range r.NumField() {
			if f := r.Type().Field(i); f.IsExported() {
				if p := plain(r.Field(i).Interface()); p != nil {
					m[f.Name] = p
				}
			}
		}
		return m
	case reflect.Slice:
		if r.Len() == 0 {
			return nil
		}
		var list []any
		for i := range r.Len() {
			list = append(list, plain(r.Index(i).Interface()))
		}
		return list
	}
	if r.IsZero() {
		return nil
	}
	return fmt.Sprint(v)
}

// TestEmptiedACL: an ACL whose grants were all taken away is told as such; one that nobody ever set gives its owner everything.
func TestEmptiedACL(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx, name, key := awsClient(t, c), t.Context(), aws.String("acl"), aws.String("a")
	must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name}))
	must[*s3.PutObjectOutput](t)(cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: key, Body: strings.NewReader("x")}))
	ofBucket := func() *s3.GetBucketAclOutput {
		return must[*s3.GetBucketAclOutput](t)(cl.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: name}))
	}
	ofObject := func() *s3.GetObjectAclOutput {
		return must[*s3.GetObjectAclOutput](t)(cl.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: name, Key: key}))
	}
	if b, o := ofBucket(), ofObject(); len(b.Grants) != 1 || len(o.Grants) != 1 || b.Grants[0].Permission != types.PermissionFullControl {
		t.Errorf("unset: %+v %+v", b.Grants, o.Grants)
	}
	none := &types.AccessControlPolicy{Owner: ofBucket().Owner}
	must[*s3.PutBucketAclOutput](t)(cl.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: name, AccessControlPolicy: none}))
	must[*s3.PutObjectAclOutput](t)(cl.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: name, Key: key, AccessControlPolicy: none}))
	if b, o := ofBucket(), ofObject(); len(b.Grants) != 0 || len(o.Grants) != 0 {
		t.Errorf("emptied: %+v %+v", b.Grants, o.Grants)
	}
	must[*s3.PutBucketAclOutput](t)(cl.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: name, ACL: types.BucketCannedACLPrivate}))
	must[*s3.PutObjectAclOutput](t)(cl.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: name, Key: key, ACL: types.ObjectCannedACLPrivate}))
	if b, o := ofBucket(), ofObject(); len(b.Grants) != 1 || len(o.Grants) != 1 {
		t.Errorf("private again: %+v %+v", b.Grants, o.Grants)
	}
}

// TestQuestionMark: '?' in a bucket's policy stands for one character.
func TestQuestionMark(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx, name := awsClient(t, c), t.Context(), aws.String("questions")
	must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name}))
	for _, key := range []string{"log-1", "log-10", "log-é"} {
		must[*s3.PutObjectOutput](t)(cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: &key, Body: strings.NewReader("x")}))
	}
	must[*s3.PutBucketPolicyOutput](t)(cl.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name,
		Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:Get?bject","Resource":"arn:aws:s3:::questions/log-?"}]}`)}))
	for key, want := range map[string]string{"log-1": "AccessDenied", "log-é": "AccessDenied", "log-10": ""} {
		if _, err := cl.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: &key}); code(err) != want {
			t.Errorf("%s: %v, want %q", key, err, want)
		}
	}
}
