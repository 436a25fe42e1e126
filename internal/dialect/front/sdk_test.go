package front_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	vpc "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/vpc/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/vpc/v2/model"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// signed verifies each request as the Huawei dialect does, then answers like the VPC service.
func signed(w http.ResponseWriter, r *http.Request) {
	s, err := sign.Parse(r)
	var digest string
	if err == nil {
		digest, err = sign.Digest(r, 1<<20)
	}
	if err == nil {
		err = s.Verify(r, front.From(r.Context()).Path, digest, "the-secret", time.Now())
	}
	if err != nil {
		front.Fail(w, r, 0, fail.From(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"vpcs": []map[string]string{{"id": "v", "name": r.URL.Query().Get("marker")}}})
}

// TestHuaweiSDK: Huawei's own Go SDK v3, unmodified, through the proxy way in and by address.
func TestHuaweiSDK(t *testing.T) {
	c := start(t, func(o *front.Options) { o.Services[2].Handler, o.Services[2].MaxBody = http.HandlerFunc(signed), 0 })
	at := c.Addr()
	proxy := config.NewProxy().WithSchema("http").WithHost(at.Addr().String()).WithPort(int(at.Port()))
	direct := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.ca.Pool()}}
	t.Cleanup(direct.CloseIdleConnections)
	for name, tc := range map[string]struct {
		endpoint string
		config   *config.HttpConfig
	}{
		"https by proxy, no DNS": {"https://vpc.awan-1.awan.test", config.DefaultHttpConfig().WithProxy(proxy).WithIgnoreSSLVerification(true)},
		"http by proxy":          {"http://vpc.awan-1.awan.test", config.DefaultHttpConfig().WithProxy(proxy)},
		"by path alone":          {"https://" + at.String(), config.DefaultHttpConfig().WithHttpTransport(direct)},
	} {
		for secret, ok := range map[string]bool{"the-secret": true, "another": false} {
			cred, err := basic.NewCredentialsBuilder().WithAk("AK").WithSk(secret).WithProjectId("p").SafeBuild()
			if err != nil {
				t.Fatal(err)
			}
			hc, err := vpc.VpcClientBuilder().WithEndpoint(tc.endpoint).WithHttpConfig(tc.config).WithCredential(cred).SafeBuild()
			if err != nil {
				t.Fatal(err)
			}
			client := vpc.NewVpcClient(hc)
			marker, label := "ä +/&", "v"
			list, err := client.ListVpcs(&model.ListVpcsRequest{Marker: &marker})
			if !ok {
				if err == nil || !strings.Contains(err.Error(), "Awan.unauthenticated") {
					t.Errorf("%s: another secret: %v", name, err)
				}
				continue
			}
			if err != nil || len(*list.Vpcs) != 1 || (*list.Vpcs)[0].Name != marker {
				t.Errorf("%s: list: %v, %v", name, list, err)
			}
			made, err := client.CreateVpc(&model.CreateVpcRequest{Body: &model.CreateVpcRequestBody{Vpc: &model.CreateVpcOption{Name: &label}}})
			if err != nil || made.Vpc.Name != label {
				t.Errorf("%s: create: %v, %v", name, made, err)
			}
		}
	}
}

// TestSignedPrefix: a client that signs the prefix (Terraform's) is verified over the path it sent.
func TestSignedPrefix(t *testing.T) {
	c := start(t, func(o *front.Options) { o.Services[2].Handler = http.HandlerFunc(signed) })
	for _, target := range []string{"https://awan.localhost/vpc/v1/p/vpcs?marker=m", "https://vpc.awan-1.awan.localhost/v1/p/vpcs?marker=m"} {
		r, err := http.NewRequest("GET", target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sign.Sign(r, "AK", "the-secret", time.Now()); err != nil {
			t.Fatal(err)
		}
		res, err := c.client(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("%s: %s %s", target, res.Status, body)
		}
	}
}
