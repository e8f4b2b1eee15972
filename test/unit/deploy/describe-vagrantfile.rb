# Loads a Vagrantfile without Vagrant and prints what it defines, as JSON:
# {machine: {box, hostname, network, provisioners: {name: script}}}
require "json"

class Recorder
  attr_accessor :box, :hostname, :memory, :cpus
  attr_reader :machines

  def initialize
    @machines = {}
    @provisioners = {}
  end

  def vm = self
  def provider(_name) = yield(self)
  def network(kind, ip:) = @network = "#{kind} #{ip}"
  def provision(name, type:, inline:, env:) = @provisioners[name] = [type, inline, env]

  def define(name)
    machine = Recorder.new
    yield machine
    @machines[name] = machine
  end

  def to_h
    { box: @box, hostname: @hostname, network: @network,
      provisioners: @provisioners.transform_values { |_, inline, _| inline } }
  end
end

module Vagrant
  def self.configure(_version)
    recorder = Recorder.new
    yield recorder
    puts JSON.generate(recorder.machines.transform_values(&:to_h))
  end
end

load ARGV.fetch(0)
