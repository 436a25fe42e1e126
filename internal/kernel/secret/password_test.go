package secret_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/secret"
)

func cheap() secret.Cost { return secret.Cost{Memory: 64, Time: 1, Lanes: 1} }

func TestPassword(t *testing.T) {
	ctx := context.Background()
	p := secret.NewPasswords(cheap())
	hash, err := p.Hash(ctx, "kopi tubruk")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("%q, %v", hash, err)
	}
	if again, _ := p.Hash(ctx, "kopi tubruk"); again == hash {
		t.Error("two hashes of one password are alike: no salt")
	}
	dear := secret.NewPasswords(secret.Cost{Memory: 128, Time: 1, Lanes: 1})
	// Made by the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 (default length 32)
	foreign := "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, c := range []struct {
		name           string
		with           *secret.Passwords
		hash, password string
		ok, upgrade    bool
	}{
		{"right", p, hash, "kopi tubruk", true, false},
		{"wrong", p, hash, "kopi susu", false, false},
		{"empty password", p, hash, "", false, false},
		{"no such user", p, "", "kopi tubruk", false, false},
		{"cost was raised", dear, hash, "kopi tubruk", true, true},
		{"cost was raised, wrong", dear, hash, "x", false, false},
		{"reference vector", p, foreign, "password", true, true},
	} {
		ok, upgrade, err := c.with.Verify(ctx, c.hash, c.password)
		if ok != c.ok || upgrade != c.upgrade || err != nil {
			t.Errorf("%s: %v, %v, %v", c.name, ok, upgrade, err)
		}
	}
}

func TestDamagedHashes(t *testing.T) {
	p := secret.NewPasswords(cheap())
	for _, hash := range []string{
		"x", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=99999999,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$", "$argon2id$v=19$m=64,t=1,p=1$!$AAAA",
	} {
		if ok, _, err := p.Verify(context.Background(), hash, "password"); ok || !fail.Is(err, fail.Internal) {
			t.Errorf("%s: %v, %v", hash, ok, err)
		}
	}
	if _, err := p.Hash(context.Background(), strings.Repeat("x", 2000)); !fail.Is(err, fail.Invalid) {
		t.Errorf("an endless password: %v", err)
	}
}

func TestPasswordsWaitNoLongerThanAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := secret.NewPasswords(cheap())
		release := p.Occupy()
		defer release()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := p.Hash(ctx, "x")
		if !fail.Is(err, fail.Unavailable) {
			t.Errorf("waiting for a slot ended with %v", err)
		}
	})
}

func BenchmarkPasswordVerify(b *testing.B) {
	p := secret.NewPasswords(secret.DefaultCost())
	hash, err := p.Hash(context.Background(), "kopi tubruk")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if ok, _, _ := p.Verify(context.Background(), hash, "kopi tubruk"); !ok {
			b.Fatal("not recognised")
		}
	}
}
