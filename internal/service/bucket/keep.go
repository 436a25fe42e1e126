package bucket

import "slices"

// What S3 and OBS have no field for stays when one of their clients reads a configuration and writes it back.

// KeepSecrets gives the notifications of next the secrets that those of old with the same id, else the same address, have.
func KeepSecrets(old, next []Notification) []Notification {
	for i := range next {
		n := &next[i]
		was := slices.IndexFunc(old, func(o Notification) bool { return o.ID == n.ID })
		if was < 0 {
			was = slices.IndexFunc(old, func(o Notification) bool { return o.URL == n.URL })
		}
		if was >= 0 && n.Secret == "" {
			n.Secret = old[was].Secret
		}
	}
	return next
}

// KeepEndpoints gives the rules of next the store elsewhere, with its key, that those of old with the same id and
// bucket copy to.
func KeepEndpoints(old, next []Replication) []Replication {
	for i := range next {
		n := &next[i]
		was := slices.IndexFunc(old, func(o Replication) bool { return o.Bucket == n.Bucket && o.ID == n.ID })
		if was >= 0 && n.Endpoint == "" {
			n.Endpoint, n.AccessKey, n.SecretKey = old[was].Endpoint, old[was].AccessKey, old[was].SecretKey
		}
	}
	return next
}
