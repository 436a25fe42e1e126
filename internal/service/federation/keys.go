package federation

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Keys: oidc/key/<id> holds a signing key, ids being in the order of time.
const (
	keyPrefix = "oidc/key/"
	cryptoKey = "oidc/crypto"

	// KeyLife is how long a key signs; after that it is published for keyRest more, while what it signed is read.
	KeyLife = 30 * 24 * time.Hour
	keyRest = 2 * 24 * time.Hour
)

// Key is a signing key.
type Key struct {
	ID      id.ID
	Created time.Time
	Private *rsa.PrivateKey
}

type storedKey struct {
	ID      id.ID     `json:"id"`
	Created time.Time `json:"created"`
	Sealed  string    `json:"sealed"`
}

// Keys gives the keys that are published, oldest first; the last one signs.
func (s *Service) Keys(ctx context.Context) (keys []Key, err error) {
	if keys, err = s.readKeys(ctx); err != nil {
		return nil, err
	}
	if n := len(keys); n > 0 && s.Now().Sub(keys[n-1].Created) < KeyLife {
		return keys, nil
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	k := storedKey{ID: id.New(), Created: s.Now().UTC()}
	if k.Sealed, err = s.Ident.Seal("cloud", "oidc", k.ID, string(x509.MarshalPKCS1PrivateKey(private))); err != nil {
		return nil, err
	}
	b, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	last := id.ID("")
	if n := len(keys); n > 0 {
		last = keys[n-1].ID
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		var newest storedKey
		for _, b := range tx.Scan(keyPrefix, "") {
			if err := json.Unmarshal(b, &newest); err != nil {
				return err
			}
		}
		if err := tx.ScanErr(); err != nil || newest.ID != last {
			return err // somebody else was quicker: theirs is taken
		}
		return tx.Put(keyPrefix+string(k.ID), b)
	})
	if err != nil {
		return nil, err
	}
	return s.readKeys(ctx)
}

func (s *Service) readKeys(ctx context.Context) (keys []Key, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		keys = nil
		for _, b := range tx.Scan(keyPrefix, "") {
			var k storedKey
			if err := json.Unmarshal(b, &k); err != nil {
				return err
			}
			if s.Now().Sub(k.Created) > KeyLife+keyRest {
				continue
			}
			plain, err := s.Ident.Unseal("cloud", "oidc", k.ID, k.Sealed)
			if err != nil {
				return err
			}
			private, err := x509.ParsePKCS1PrivateKey([]byte(plain))
			if err != nil {
				return err
			}
			keys = append(keys, Key{k.ID, k.Created, private})
		}
		return tx.ScanErr()
	})
	return keys, err
}

// CryptoKey is what access tokens' ids are wrapped with: the same as long as the cloud lives.
func (s *Service) CryptoKey(ctx context.Context) (key [32]byte, err error) {
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(cryptoKey)
		if err != nil {
			return err
		}
		if !ok {
			sealed, err := s.Ident.Seal("cloud", "oidc", "crypto", secret.NewToken())
			if err != nil {
				return err
			}
			b = []byte(sealed)
			if err := tx.Put(cryptoKey, b); err != nil {
				return err
			}
		}
		plain, err := s.Ident.Unseal("cloud", "oidc", "crypto", string(b))
		key = secret.Digest(plain)
		return err
	})
	return key, err
}
