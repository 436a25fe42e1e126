package federation

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

func makeSecret(_ context.Context, old, row *Client) error {
	if old == nil && !row.Spec.Public {
		row.Status.Secret = secret.NewSecretKey()
	}
	return nil
}

// Client gives an app that may use the log-in.
func (s *Service) Client(tx store.Tx, clientID string) (*Client, error) {
	cid, ok := id.Parse(clientID)
	var row *Client
	var err error
	if ok {
		row, err = s.Clients.Get(tx, cid)
	}
	if err != nil {
		return nil, err
	}
	if row == nil || row.Spec.Disabled {
		return nil, fail.New(fail.NotFound, "there is no client %q", clientID).Then("the client id is the id that awan oidc-client list shows")
	}
	return row, nil
}

// Secret tells whether a client's secret is the right one.
func (s *Service) Secret(c *Client, given string) (bool, error) {
	if c.Spec.Public || c.Status.Secret == "" {
		return false, nil
	}
	want, err := s.Unseal(&c.Meta, "status", "client_secret", c.Status.Secret)
	return err == nil && secret.Equal(want, given), err
}
