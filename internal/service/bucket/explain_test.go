package bucket_test

import (
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

func TestAPolicyIsSaidInWords(t *testing.T) {
	for text, want := range map[string]bucket.Meaning{
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/2026/*"}]}`: {Allow: true, Public: true, Who: "everybody", What: "read objects", On: "objects whose names begin with 2026/"},
		`{"Statement":{"Sid":"a","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::acme:root"},"Action":["s3:ListBucket","s3:PutObject"],"Resource":["photos","photos/*"]}}`: {Sid: "a", Allow: true, Who: "domain acme", What: "list names, upload objects",
			On: "the bucket itself, all objects"},
		`{"Statement":[{"Effect":"Deny","NotPrincipal":{"ID":"domain/acme:user/ann"},"Action":"*","Resource":"photos/a.txt"}]}`: {Who: "everybody but user ann of domain acme", What: "do everything", On: "object a.txt"},
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"GetObject","Resource":"photos/*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8"]}}}]}`: {Allow: true, Who: "everybody", What: "read objects", On: "all objects",
			When: "aws:SourceIp IpAddress 10.0.0.0/8"},
	} {
		got, err := bucket.Explain("photos", text)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s\n means %+v, %v", text, got, err)
		}
	}
	for text, field := range map[string]string{
		`{"Statement":[]}`: "Statement",
		`{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"photos/*"}]}`:                           "Statement[0].Principal",
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}]}`:                                 "Statement[0].Resource",
		`{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"other/*"}}`:              "Statement.Resource",
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"photos/*","Foo":"x"}]}`: "Statement[0]",
		`{"Statement":[{"Effect":"Maybe","Principal":"*","Action":"s3:GetObject","Resource":"photos/*"}]}`:           "Statement[0].Effect",
	} {
		if _, err := bucket.Explain("photos", text); err == nil || fail.From(err).Field != field {
			t.Errorf("%s\n is refused with %v, not at %s", text, err, field)
		}
	}
}
