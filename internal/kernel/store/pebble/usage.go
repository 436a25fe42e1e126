package pebble

// DiskUsage tells how many bytes the store takes on disk.
func (s *Store) DiskUsage() uint64 {
	v := s.acquire()
	if v == nil {
		return 0
	}
	defer s.release(v)
	return v.gen.db.Metrics().DiskSpaceUsage()
}
