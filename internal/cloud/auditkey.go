package cloud

import (
	"context"
	"crypto/rand"

	"golang.org/x/mod/sumdb/note"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// auditPrivate is where the key lies, sealed, that signs the checkpoints of the audit log; auditPublic is its other half.
const auditPrivate, auditPublic = "auditkey/private", "auditkey/public"

// auditSigner opens the key that signs the audit log, and makes it at the first start.
func (c *Cloud) auditSigner(ctx context.Context) (note.Signer, string, error) {
	var private, public string
	_, err := c.Store.Update(ctx, func(tx store.Tx) error {
		sealed, ok, err := tx.Get(auditPrivate)
		if err != nil {
			return err
		}
		if ok {
			pub, _, err := tx.Get(auditPublic)
			if err != nil {
				return err
			}
			plain, err := c.sealer.Open("", sealed, []byte(auditPrivate))
			private, public = string(plain), string(pub)
			return err
		}
		if private, public, err = note.GenerateKey(rand.Reader, c.Domain+"/audit"); err != nil {
			return err
		}
		if sealed, err = c.sealer.Seal("", []byte(private), []byte(auditPrivate)); err != nil {
			return err
		}
		if err := tx.Put(auditPublic, []byte(public)); err != nil {
			return err
		}
		return tx.Put(auditPrivate, sealed)
	})
	if err != nil {
		return nil, "", err
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, "", fail.Wrap(err, fail.Internal, "the key of the audit log cannot be read")
	}
	return signer, public, nil
}
