package secret

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/awancloud/awan/internal/kernel/fail"
)

const (
	saltSize    = 16
	hashSize    = 32
	maxPassword = 1024      // bytes; longer ones are no safer and cost time
	maxMemory   = 256 << 10 // KiB; a stored hash that asks for more is damaged or hostile
	maxTime     = 16
)

// Cost is Argon2id's price: memory in KiB, passes over it, lanes.
type Cost struct {
	Memory uint32
	Time   uint32
	Lanes  uint8
}

// DefaultCost is above OWASP's minimum (19 MiB, 2 passes) and takes some 50 ms of one core.
func DefaultCost() Cost { return Cost{Memory: 32 << 10, Time: 2, Lanes: 1} }

// Passwords hashes and verifies passwords with Argon2id (RFC 9106). At most two run at once, so that a flood of log-ins
// takes neither the machine's memory nor its processors; the others wait as long as their context allows.
type Passwords struct {
	cost Cost
	slot chan struct{}
	none string // a hash of nothing known, for log-ins of users that do not exist
}

// NewPasswords makes hashes at cost, and verifies those made at any cost.
func NewPasswords(cost Cost) *Passwords {
	p := &Passwords{cost: cost, slot: make(chan struct{}, 2)}
	p.none = phc{cost: cost, salt: make([]byte, saltSize), sum: make([]byte, hashSize)}.String()
	return p
}

// Hash gives the password's hash in PHC string form: $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	h := phc{cost: p.cost, salt: make([]byte, saltSize)}
	if _, err := rand.Read(h.salt); err != nil {
		return "", fail.Wrap(err, fail.Internal, "no randomness")
	}
	var err error
	h.sum, err = p.run(ctx, password, h.cost, h.salt, hashSize)
	return h.String(), err
}

// Verify tells whether hash is of password. upgrade is true when it is, but was made at another cost: hash again and
// store. An empty hash (no such user, no password set) takes as long as any other and never matches.
func (p *Passwords) Verify(ctx context.Context, hash, password string) (ok, upgrade bool, err error) {
	known := hash != ""
	if !known {
		hash = p.none
	}
	h, err := parsePHC(hash)
	if err != nil {
		return false, false, err
	}
	sum, err := p.run(ctx, password, h.cost, h.salt, uint32(len(h.sum)))
	if err != nil {
		return false, false, err
	}
	ok = subtle.ConstantTimeCompare(sum, h.sum) == 1 && known
	return ok, ok && h.cost != p.cost, nil
}

func (p *Passwords) run(ctx context.Context, password string, c Cost, salt []byte, size uint32) ([]byte, error) {
	if len(password) > maxPassword {
		return nil, fail.Field("password", "a password has at most %d bytes", maxPassword)
	}
	select {
	case p.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, fail.Wrap(ctx.Err(), fail.Unavailable, "too many log-ins are waiting").Then("try again in a moment")
	}
	defer func() { <-p.slot }()
	return argon2.IDKey([]byte(password), salt, c.Time, c.Memory, c.Lanes, size), nil
}

// phc is a hash in its parts.
type phc struct {
	cost      Cost
	salt, sum []byte
}

func (h phc) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.cost.Memory, h.cost.Time, h.cost.Lanes, b64(h.salt), b64(h.sum))
}

func parsePHC(s string) (phc, error) {
	damaged := fail.New(fail.Internal, "a stored password hash is damaged").Then("the administrator can set a new password")
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, damaged
	}
	var h phc
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.cost.Memory, &h.cost.Time, &h.cost.Lanes); err != nil {
		return phc{}, damaged.Because(err)
	}
	if c := h.cost; c.Memory == 0 || c.Memory > maxMemory || c.Time == 0 || c.Time > maxTime || c.Lanes == 0 {
		return phc{}, damaged
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(h.salt) < 8 {
		return phc{}, damaged
	}
	if h.sum, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(h.sum) < 16 || len(h.sum) > 64 {
		return phc{}, damaged
	}
	return h, nil
}
