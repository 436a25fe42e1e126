package bucket

// Suspects is how many blobs were found once that nobody uses.
func (s *Service) Suspects() int {
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	return len(s.tasks.orphans.seen)
}
