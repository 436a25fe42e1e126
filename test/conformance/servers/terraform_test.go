package servers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/terraform"
)

// provider says how the provider reaches the cloud.
const provider = `
terraform {
  required_providers {
    huaweicloud = { source = "huaweicloud/huaweicloud" }
  }
}
provider "huaweicloud" {
  region                = "awan-1"
  access_key            = "%[1]s"
  secret_key            = "%[2]s"
  project_id            = "%[3]s"
  domain_id             = "%[4]s"
  auth_url              = "%[5]s/iam/v3"
  cloud                 = "awan.test"
  enterprise_project_id = "0"
  max_retries           = 1
  endpoints = {
    iam = "%[5]s/iam/"
    eps = "%[5]s/eps/"
    ecs = "%[5]s/ecs/"
    evs = "%[5]s/evs/"
    ims = "%[5]s/ims/"
    kms = "%[5]s/kms/"
    vpc = "%[5]s/vpc/"
  }
}
`

// plan is what a tenant writes: %[1]s is the server's name, %[2]s its flavour, %[3]d the size of the data disk, %[4]s the value
// of tags and metadata.
const plan = `
resource "huaweicloud_vpc" "shop" {
  name = "shop"
  cidr = "10.1.0.0/16"
}
resource "huaweicloud_vpc_subnet" "front" {
  name       = "front"
  cidr       = "10.1.1.0/24"
  gateway_ip = "10.1.1.1"
  vpc_id     = huaweicloud_vpc.shop.id
}
resource "huaweicloud_networking_secgroup" "web" {
  name = "web"
}
resource "huaweicloud_kps_keypair" "laptop" {
  name       = "Laptop_1"
  public_key = "%[5]s"
}
resource "huaweicloud_compute_keypair" "old" {
  name       = "old"
  public_key = "%[5]s"
}
resource "huaweicloud_compute_servergroup" "apart" {
  name     = "apart"
  policies = ["soft-anti-affinity"]
}
data "huaweicloud_availability_zones" "all" {}
data "huaweicloud_compute_flavors" "small" {
  availability_zone = data.huaweicloud_availability_zones.all.names[0]
  performance_type  = "normal"
  cpu_core_count    = 1
  memory_size       = 1
}
data "huaweicloud_images_images" "debian" {
  name = "Debian 12 small"
}
data "huaweicloud_images_image" "debian" {
  name        = "Debian 12 small"
  most_recent = true
}
resource "huaweicloud_compute_instance" "web" {
  name               = "%[1]s"
  description        = "the shop"
  image_id           = data.huaweicloud_images_image.debian.id
  flavor_id          = "%[2]s"
  key_pair           = huaweicloud_kps_keypair.laptop.name
  security_group_ids = [huaweicloud_networking_secgroup.web.id]
  availability_zone  = data.huaweicloud_availability_zones.all.names[0]
  user_data          = "#!/bin/sh\necho hello\n"
  system_disk_type   = "SSD"
  system_disk_size   = 10
  delete_disks_on_termination = true
  delete_eip_on_termination   = true
  data_disks {
    type = "SAS"
    size = 20
  }
  network {
    uuid = huaweicloud_vpc_subnet.front.id
  }
  scheduler_hints {
    group = huaweicloud_compute_servergroup.apart.id
  }
  eip_type = "5_bgp"
  bandwidth {
    share_type  = "PER"
    size        = 5
    charge_mode = "bandwidth"
  }
  tags     = { team = "%[4]s" }
  metadata = { role = "%[4]s" }
}
resource "huaweicloud_evs_volume" "data" {
  name              = "data"
  description       = "books"
  volume_type       = "GPSSD"
  size              = %[3]d
  availability_zone = data.huaweicloud_availability_zones.all.names[0]
  tags              = { team = "%[4]s" }
}
resource "huaweicloud_evs_snapshot" "monday" {
  volume_id   = huaweicloud_evs_volume.data.id
  name        = "monday"
  description = "%[4]s"
}
resource "huaweicloud_compute_volume_attach" "data" {
  instance_id = huaweicloud_compute_instance.web.id
  volume_id   = huaweicloud_evs_volume.data.id
}
resource "huaweicloud_compute_interface_attach" "second" {
  instance_id        = huaweicloud_compute_instance.web.id
  network_id         = huaweicloud_vpc_subnet.front.id
  security_group_ids = [huaweicloud_networking_secgroup.web.id]
  depends_on         = [huaweicloud_compute_volume_attach.data]
}
data "huaweicloud_compute_instances" "mine" {
  fixed_ip_v4 = huaweicloud_compute_instance.web.access_ip_v4
  depends_on  = [huaweicloud_compute_interface_attach.second]
}
output "server" {
  value = "${huaweicloud_compute_instance.web.status} ${huaweicloud_compute_instance.web.access_ip_v4} ${length(data.huaweicloud_compute_instances.mine.instances)}"
}
output "flavors" {
  value = data.huaweicloud_compute_flavors.small.ids
}
`

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ test"

func TestTerraform(t *testing.T) {
	terraform.Needed(t)
	n := open(t)
	tf := terraform.New(t, n.caFile)
	write := func(name, flavor string, size int, tag string) {
		tf.Write("main.tf", fmt.Sprintf(provider, n.Admin.AccessKey, n.Admin.SecretKey, n.project, n.Admin.DomainID, n.url)+fmt.Sprintf(plan, name, flavor, size, tag, publicKey))
	}
	write("web", "s6.small.1", 10, "one")
	if out := tf.Run(0, "apply", "-auto-approve"); !strings.Contains(out, "ACTIVE 10.1.1.") || !strings.Contains(out, "s6.small.1") {
		t.Errorf("applied:\n%s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode")
	write("shop", "s6.medium.2", 20, "two")
	tf.Run(0, "apply", "-auto-approve")
	tf.Run(0, "plan", "-detailed-exitcode")
	tf.Run(0, "destroy", "-auto-approve")
	for _, k := range []string{"compute/server", "volume/volume", "volume/snapshot", "network/port", "network/public-ip"} {
		if left := n.list(n.Kernel.Door.KindOf(k), n.project); len(left) > 0 {
			t.Errorf("%d rows of %s are left: %s", len(left), k, left[0].M().Name)
		}
	}
}
