package balancers_test

import (
	"testing"

	dns "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dns/v2"
	dm "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dns/v2/model"
	elb "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/elb/v3"
	em "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/elb/v3/model"
)

// TestTheSDKMakesABalancer tells what a tool does that keeps a load balancer in front of two servers.
func TestTheSDKMakesABalancer(t *testing.T) {
	n := open(t)
	n.makeRow(n.Networks.VPC.D, "shop", `{"cidr":"10.1.0.0/16"}`)
	subnet := n.makeRow(n.Networks.Subnet.D, "front", `{"vpc":"shop","cidr":"10.1.1.0/24"}`).M()
	public := n.makeRow(n.Networks.PublicIP.D, "front", `{}`).M()
	c := client(n, elb.ElbClientBuilder(), elb.NewElbClient)

	made := must[*em.CreateLoadBalancerResponse](t)(c.CreateLoadBalancer(&em.CreateLoadBalancerRequest{Body: &em.CreateLoadBalancerRequestBody{Loadbalancer: &em.CreateLoadBalancerOption{
		Name: ptr("front"), ElbVirsubnetIds: &[]string{string(subnet.ID)}, AvailabilityZoneList: []string{"awan-1a"}, PublicipIds: &[]string{string(public.ID)}, Tags: &[]em.Tag{{Key: ptr("team"), Value: ptr("one")}}}}})).Loadbalancer
	seen := must[*em.ShowLoadBalancerResponse](t)(c.ShowLoadBalancer(&em.ShowLoadBalancerRequest{LoadbalancerId: made.Id})).Loadbalancer
	if seen.ProvisioningStatus != "ACTIVE" || seen.OperatingStatus != "ONLINE" || seen.VipAddress == "" || len(seen.Publicips) != 1 || len(seen.Tags) != 1 || len(seen.AvailabilityZoneList) != 1 {
		t.Errorf("the load balancer: %+v", seen)
	}
	certificate, key := pair(t, "www.example.org")
	cert := must[*em.CreateCertificateResponse](t)(c.CreateCertificate(&em.CreateCertificateRequest{Body: &em.CreateCertificateRequestBody{Certificate: &em.CreateCertificateOption{
		Name: ptr("www"), Certificate: &certificate, PrivateKey: &key, Domain: ptr("www.example.org")}}})).Certificate
	if *cert.CommonName != "www.example.org" || cert.PrivateKey != "" {
		t.Errorf("the certificate: %+v", cert)
	}
	pool := must[*em.CreatePoolResponse](t)(c.CreatePool(&em.CreatePoolRequest{Body: &em.CreatePoolRequestBody{Pool: &em.CreatePoolOption{Name: ptr("web"), Protocol: "HTTP", LbAlgorithm: "ROUND_ROBIN",
		LoadbalancerId: &made.Id, SessionPersistence: &em.CreatePoolSessionPersistenceOption{Type: em.GetCreatePoolSessionPersistenceOptionTypeEnum().HTTP_COOKIE, PersistenceTimeout: ptr(int32(10))}}}})).Pool
	members := must[*em.BatchCreateMembersResponse](t)(c.BatchCreateMembers(&em.BatchCreateMembersRequest{PoolId: pool.Id, Body: &em.BatchCreateMembersRequestBody{
		Members: []em.BatchCreateMembersOption{{Address: "10.1.1.10", ProtocolPort: 8080}, {Address: "10.1.1.11", ProtocolPort: 8080, Weight: ptr(int32(3))}}}}))
	if members.Members == nil || len(*members.Members) != 2 {
		t.Fatalf("members: %+v", members)
	}
	_, err := c.BatchCreateMembers(&em.BatchCreateMembersRequest{PoolId: pool.Id, Body: &em.BatchCreateMembersRequestBody{Members: []em.BatchCreateMembersOption{{Address: "10.1.1.10", ProtocolPort: 8080}}}})
	refused(t, err, "ELB.8907")
	must[*em.CreateHealthMonitorResponse](t)(c.CreateHealthMonitor(&em.CreateHealthMonitorRequest{Body: &em.CreateHealthMonitorRequestBody{Healthmonitor: &em.CreateHealthMonitorOption{
		PoolId: pool.Id, Type: "HTTP", Delay: 5, Timeout: 3, MaxRetries: 3, UrlPath: ptr("/healthz")}}}))
	secure := must[*em.CreateListenerResponse](t)(c.CreateListener(&em.CreateListenerRequest{Body: &em.CreateListenerRequestBody{Listener: &em.CreateListenerOption{Name: ptr("secure"), Protocol: "HTTPS",
		ProtocolPort: ptr(int32(443)), LoadbalancerId: made.Id, DefaultPoolId: &pool.Id, DefaultTlsContainerRef: &cert.Id, Http2Enable: ptr(true)}}})).Listener
	plain := must[*em.CreateListenerResponse](t)(c.CreateListener(&em.CreateListenerRequest{Body: &em.CreateListenerRequestBody{Listener: &em.CreateListenerOption{Protocol: "HTTP",
		ProtocolPort: ptr(int32(80)), LoadbalancerId: made.Id}}})).Listener
	policy := must[*em.CreateL7PolicyResponse](t)(c.CreateL7Policy(&em.CreateL7PolicyRequest{Body: &em.CreateL7PolicyRequestBody{L7policy: &em.CreateL7PolicyOption{ListenerId: plain.Id,
		Action: "REDIRECT_TO_LISTENER", RedirectListenerId: &secure.Id}}})).L7policy
	must[*em.CreateL7PolicyResponse](t)(c.CreateL7Policy(&em.CreateL7PolicyRequest{Body: &em.CreateL7PolicyRequestBody{L7policy: &em.CreateL7PolicyOption{ListenerId: secure.Id,
		Action: "REDIRECT_TO_POOL", RedirectPoolId: &pool.Id, Rules: &[]em.CreateL7PolicyRuleOption{{Type: "PATH", CompareType: "STARTS_WITH", Value: "/api/"}}}}}))
	tree := must[*em.ShowLoadBalancerStatusResponse](t)(c.ShowLoadBalancerStatus(&em.ShowLoadBalancerStatusRequest{LoadbalancerId: made.Id})).Statuses.Loadbalancer
	if len(tree.Listeners) != 2 || len(tree.Pools) != 1 || policy.RedirectListenerId != secure.Id {
		t.Errorf("the tree: %+v", tree)
	}
	list := must[*em.ListMembersResponse](t)(c.ListMembers(&em.ListMembersRequest{PoolId: pool.Id, Address: &[]string{"10.1.1.11"}}))
	if len(*list.Members) != 1 || (*list.Members)[0].Weight != 3 {
		t.Errorf("members by address: %+v", list)
	}
	_, err = c.DeleteLoadBalancer(&em.DeleteLoadBalancerRequest{LoadbalancerId: made.Id})
	refused(t, err, "ELB.8907")
	must[*em.DeleteLoadBalancerForceResponse](t)(c.DeleteLoadBalancerForce(&em.DeleteLoadBalancerForceRequest{LoadbalancerId: made.Id}))
	must[*em.DeleteCertificateResponse](t)(c.DeleteCertificate(&em.DeleteCertificateRequest{CertificateId: cert.Id}))
	_, err = c.ShowLoadBalancer(&em.ShowLoadBalancerRequest{LoadbalancerId: made.Id})
	refused(t, err, "ELB.8904")
	left := n.left()
	if delete(left, "network/public-ip"); len(left) > 0 { // the address was there before
		t.Errorf("left: %v", left)
	}
}

// TestTheSDKMakesZones tells what a tool does that keeps names.
func TestTheSDKMakesZones(t *testing.T) {
	n := open(t)
	vpc := n.makeRow(n.Networks.VPC.D, "shop", `{"cidr":"10.1.0.0/16"}`).M()
	c := client(n, dns.DnsClientBuilder(), dns.NewDnsClient)
	zone := must[*dm.CreatePublicZoneResponse](t)(c.CreatePublicZone(&dm.CreatePublicZoneRequest{Body: &dm.CreatePublicZoneReq{Name: "example.org.", Email: ptr("hostmaster@example.org"), Ttl: ptr(int32(300))}}))
	_, err := c.CreatePublicZone(&dm.CreatePublicZoneRequest{Body: &dm.CreatePublicZoneReq{Name: "example.org."}})
	refused(t, err, "DNS.0")
	www := must[*dm.CreateRecordSetResponse](t)(c.CreateRecordSet(&dm.CreateRecordSetRequest{ZoneId: *zone.Id, Body: &dm.CreateRecordSetRequestBody{Name: "www.example.org.", Type: "A", Records: []string{"192.0.2.1"}}}))
	_, err = c.CreateRecordSet(&dm.CreateRecordSetRequest{ZoneId: *zone.Id, Body: &dm.CreateRecordSetRequestBody{Name: "bad.example.org.", Type: "A", Records: []string{"not an address"}}})
	refused(t, err, "DNS.0")
	must[*dm.UpdateRecordSetResponse](t)(c.UpdateRecordSet(&dm.UpdateRecordSetRequest{ZoneId: *zone.Id, RecordsetId: *www.Id, Body: &dm.UpdateRecordSetReq{Records: &[]string{"192.0.2.7", "192.0.2.8"}, Ttl: ptr(int32(60))}}))
	list := must[*dm.ListRecordSetsByZoneResponse](t)(c.ListRecordSetsByZone(&dm.ListRecordSetsByZoneRequest{ZoneId: *zone.Id, Type: ptr("A")}))
	if len(*list.Recordsets) != 1 || len(*(*list.Recordsets)[0].Records) != 2 || *(*list.Recordsets)[0].Ttl != 60 {
		t.Errorf("record sets: %+v", list)
	}
	private := must[*dm.CreatePrivateZoneResponse](t)(c.CreatePrivateZone(&dm.CreatePrivateZoneRequest{Body: &dm.CreatePrivateZoneReq{Name: "shop.internal.", ZoneType: "private", Router: &dm.Router{RouterId: string(vpc.ID)}}}))
	if seen := must[*dm.ShowPrivateZoneResponse](t)(c.ShowPrivateZone(&dm.ShowPrivateZoneRequest{ZoneId: *private.Id})); len(*seen.Routers) != 1 || *seen.Status != "ACTIVE" {
		t.Errorf("the private zone: %+v", seen)
	}
	if all := must[*dm.ListPublicZonesResponse](t)(c.ListPublicZones(&dm.ListPublicZonesRequest{})); len(*all.Zones) != 1 {
		t.Errorf("public zones: %+v", all)
	}
	must[*dm.DeletePublicZoneResponse](t)(c.DeletePublicZone(&dm.DeletePublicZoneRequest{ZoneId: *zone.Id}))
	must[*dm.DeletePrivateZoneResponse](t)(c.DeletePrivateZone(&dm.DeletePrivateZoneRequest{ZoneId: *private.Id}))
	if left := n.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
