package ledger

import (
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/store"
)

// passedPrefix holds what passed, by the hour: <project>/<hour>/<row>/<dim>.
const passedPrefix = "meter/passed/"

const hourKey = "2006010215"

// Count adds to what passed through a row in this hour: bytes, calls. It is no amount that is held, so it is added up, and
// not multiplied with time. Whoever counts notes in the same transaction up to where he did, so that nothing counts twice.
func Count(tx store.Tx, s Sample, now time.Time) error {
	if s.Amount == 0 {
		return nil
	}
	hour := now.UTC().Truncate(time.Hour)
	key := passedPrefix + string(s.Project) + "/" + hour.Format(hourKey) + "/" + string(s.Row) + "/" + string(s.Dim)
	b, ok, err := tx.Get(key)
	if err != nil {
		return err
	}
	s.From, s.To = hour, hour.Add(time.Hour)
	if ok {
		var was Sample
		if err := json.Unmarshal(b, &was); err != nil {
			return err
		}
		s.Amount += was.Amount
	}
	return putSample(tx, key, s)
}

// passed gives what passed in the hours that begin in a time; the first hour counts whole.
func passed(tx store.Tx, project string, from, to time.Time, add func(Sample)) error {
	prefix := passedPrefix + project + "/"
	for k, b := range tx.Scan(prefix, prefix+from.UTC().Format(hourKey)) {
		if k[len(prefix):] >= to.UTC().Format(hourKey)+"~" {
			break
		}
		var s Sample
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		if s.From.Before(to) {
			add(s)
		}
	}
	return tx.ScanErr()
}
