#include "host/container.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace fwtrace::host {
namespace {

namespace fs = std::filesystem;

// State folders as the managers of containers leave them.
class ContainerTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/fwtrace-containers-XXXXXX";
    root_ = mkdtemp(pattern);
    places_ = {.docker = root_ + "/docker",
               .podman = root_ + "/podman",
               .podman_run = root_ + "/podman-run",
               .containerd = root_ + "/containerd",
               .machines = root_ + "/machines",
               .proc = root_ + "/proc",
               .ask_programs = false};
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    const fs::path full = root_ + "/" + path;
    fs::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  // A process in a control group, and in a namespace that it shares with whoever has the same `net`.
  void process(int pid, const std::string& group, const std::string& net) const {
    const std::string folder = "proc/" + std::to_string(pid);
    write(folder + "/cgroup", "0::/system.slice/" + group + ".scope\n");
    write("nets/" + net, "");
    fs::create_directories(root_ + "/" + folder + "/ns");
    fs::create_hard_link(root_ + "/nets/" + net, root_ + "/" + folder + "/ns/net");
  }
  void docker(const std::string& id, const std::string& name, int pid) const {
    write("docker/" + id + "/config.v2.json", R"({"StreamConfig":{},"State":{"Running":true,"Pid":)" +
                                                  std::to_string(pid) + R"(},"ID":")" + id +
                                                  R"(","Name":"/)" + name + R"("})");
    process(pid, "docker-" + id, "of-" + id);
  }
  std::optional<int> find(const std::string& name) const {
    auto found = find_container(name, places_);
    EXPECT_TRUE(found) << found.error().message;
    return found ? *found : std::nullopt;
  }

  std::string root_;
  ContainerPlaces places_;
};

TEST_F(ContainerTest, NothingIsThere) { EXPECT_EQ(find("web"), std::nullopt); }

TEST_F(ContainerTest, DockerByNameIdAndPrefix) {
  docker("3f2a77", "web", 100);
  docker("3f2b88", "db", 200);
  EXPECT_EQ(find("web"), 100);
  EXPECT_EQ(find("3f2b88"), 200);
  EXPECT_EQ(find("3f2b"), 200);
  EXPECT_EQ(find("3f2"), std::nullopt) << "too short to mean something";
  EXPECT_EQ(find("we"), std::nullopt) << "a name is a whole name";
}

TEST_F(ContainerTest, ANumberThatIsSomebodyElsesNowIsNotEntered) {
  docker("3f2a77", "web", 100);
  write("proc/100/cgroup", "0::/user.slice\n");
  const auto found = find_container("web", places_);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message, "container 'web' does not run");
}

TEST_F(ContainerTest, PodmanWithoutItsProgram) {
  write("podman/overlay-containers/containers.json",
        R"([{"id":"aabbcc","names":["mail","post"]},{"id":"ddeeff","names":["off"]},7])");
  write("podman-run/overlay-containers/aabbcc/userdata/pidfile", "300\n");
  process(300, "libpod-aabbcc", "mail");
  EXPECT_EQ(find("post"), 300);
  EXPECT_EQ(find("aabb"), 300);
  EXPECT_FALSE(find_container("off", places_));
}

TEST_F(ContainerTest, APodIsOneNamespace) {
  for (const int number : {1, 2}) {
    const std::string bundle = "containerd/k8s.io/c0ffee" + std::to_string(number);
    write(bundle + "/init.pid", std::to_string(400 + number));
    write(
        bundle + "/config.json",
        R"({"annotations":{"io.kubernetes.cri.sandbox-name":"shop","io.kubernetes.cri.container-name":"part)" +
            std::to_string(number) + R"("}})");
    process(400 + number, "cri", "shop");
  }
  EXPECT_EQ(find("shop"), 401);
  EXPECT_EQ(find("part2"), 402);
}

TEST_F(ContainerTest, SystemdMachinesAndLxc) {
  write("machines/guest", "# This is private data.\nNAME=guest\nLEADER=500\n");
  write("machines/unit:systemd-nspawn@guest.service", "LEADER=500\n");
  EXPECT_EQ(find("guest"), 500);
  write("proc/600/cmdline", std::string("[lxc monitor] /var/lib/lxc box\0", 31));
  write("proc/600/stat", "600 ([lxc monitor]) S 1 600");
  write("proc/601/cmdline", "/sbin/init");
  write("proc/601/stat", "601 (init) S 600 601");
  EXPECT_EQ(find("box"), 601);
}

TEST_F(ContainerTest, TwoOfOneNameAreListed) {
  docker("3f2a77", "web", 100);
  write("machines/web", "LEADER=500\n");
  process(500, "machine-web", "other");
  const auto found = find_container("web", places_);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message, "'web' means 2 containers");
  ASSERT_EQ(found.error().hints.size(), 3U);
  EXPECT_EQ(found.error().hints[0], "docker 'web' 3f2a77 (process 100)");
  EXPECT_EQ(found.error().hints[1], "systemd machine 'web' (process 500)");
}

TEST_F(ContainerTest, BrokenFilesAreNoContainers) {
  write("docker/x/config.v2.json", "{");
  write("docker/y/config.v2.json", R"(["ID"])");
  write("docker/z/config.v2.json", R"({"ID":"zz","Name":7,"State":{"Pid":"9"}})");
  write("podman/overlay-containers/containers.json", R"({"id":"x"})");
  write("containerd/k8s.io/c1/config.json", R"({"annotations":3})");
  write("machines/m", "LEADER=x\n");
  EXPECT_EQ(find("nobody"), std::nullopt);
  EXPECT_FALSE(find_container("zz", places_));
}

TEST_F(ContainerTest, OnlyNamesAreGivenToPrograms) {
  places_.ask_programs = true;
  for (const char* name : {"-v", "", "a b", "../x", "$(id)"}) EXPECT_EQ(find(name), std::nullopt) << name;
}

}  // namespace
}  // namespace fwtrace::host
