package qemu

// Elsewhere is for tests that go into network namespaces.
var Elsewhere = elsewhere
