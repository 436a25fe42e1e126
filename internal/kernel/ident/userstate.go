package ident

import (
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// statePrefix: userstate/<user> holds what happened to a user's log-in. It is beside the row, so that a log-in does not
// count as a change of the user.
const statePrefix = "userstate/"

// UserState is what happened to a user's log-in.
type UserState struct {
	PasswordSet time.Time `json:"password_set,omitzero"`
	// Generated says that nobody chose the password: the cloud made it and wrote it into a file for programs.
	Generated  bool      `json:"generated,omitempty"`
	Before     []string  `json:"before,omitempty"` // earlier passwords' hashes, sealed like the present one; newest first
	LastLogin  time.Time `json:"last_login,omitzero"`
	LastSource string    `json:"last_source,omitempty"`
}

// State gives what happened to a user's log-in.
func State(tx store.Tx, user id.ID) (st UserState, err error) {
	b, ok, err := tx.Get(statePrefix + string(user))
	if err != nil || !ok {
		return st, err
	}
	return st, json.Unmarshal(b, &st)
}

func putState(tx store.Tx, user id.ID, st UserState) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return tx.Put(statePrefix+string(user), b)
}
