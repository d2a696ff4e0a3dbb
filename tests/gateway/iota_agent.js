'use strict';
// FIWARE's own library for IoT Agents, bound to MQTT as the IoT Agent JSON binds it: topics, arrays,
// QoS 0, a session of its own each time. The library provisions, converts and asks the broker.

const library = require('iotagent-node-lib');
const mqtt = require('mqtt');

const RESOURCE = '/iot/json';
const ROOTS = ['$share/json//+/+/', '$share/json//json/+/+/', '$share/json/json/+/+/'];
const given = JSON.parse(process.argv[2]);
let client;

function say(what) {
    process.stdout.write('\n' + JSON.stringify(what) + '\n');
}

function why(error) {
    return error ? error.name + ': ' + error.message : '';
}

function type(name, device) {
    const known = (device.active || []).find((each) => each.name === name);
    if (known) {
        return known.type;
    }
    return name === 'TimeInstant' ? 'DateTime' : 'Text';
}

function measures(payload) {
    const told = JSON.parse(payload.toString());
    // An array of one is one measure whose attributes are called 0, 1, 2: so it is there, too.
    return Array.isArray(told) && told.length > 1 ? told : [told];
}

function take(topic, payload) {
    const parts = topic.replace(/^\//, '').replace(/^json\//, '').split('/');
    const [key, id, word] = parts;
    library.retrieveDevice(id, key, (error, device) => {
        if (error) {
            say({ topic, error: why(error) });
        } else if (word === 'cmdexe') {
            for (const [name, value] of Object.entries(JSON.parse(payload.toString()))) {
                library.setCommandResult(
                    device.name, RESOURCE, key, name, value, 'OK', device,
                    (failure) => say({ topic, error: why(failure) })
                );
            }
        } else {
            const all = measures(payload).map((each) =>
                Object.entries(each).map(([name, value]) => ({ name, type: type(name, device), value }))
            );
            library.update(device.name, device.type, '', all, device,
                (failure) => say({ topic, measures: all.length, error: why(failure) }));
        }
    });
}

function command(entity, entityType, service, path, attributes, done) {
    library.getDeviceByNameAndType(entity, entityType, service, path, (error, device) => {
        if (error) {
            done(error);
            return;
        }
        for (const each of attributes) {
            const payload = JSON.stringify({ [each.name]: each.value });
            client.publish(`/${device.apikey}/${device.id}/cmd`, payload, { qos: 0 });
        }
        done(null, attributes[0]);
    });
}

const config = {
    logLevel: 'FATAL',
    contextBroker: {
        host: '127.0.0.1',
        port: String(given.city),
        ngsiVersion: 'ld',
        jsonLdContext: 'https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld',
        fallbackTenant: given.service,
        fallbackPath: '/'
    },
    server: { host: '127.0.0.1', port: given.port },
    providerUrl: `http://127.0.0.1:${given.port}`,
    deviceRegistry: { type: 'memory' },
    types: {},
    service: given.service,
    subservice: '/',
    defaultType: 'Thing',
    defaultResource: RESOURCE,
    defaultTransport: 'MQTT'
};

library.activate(config, (error) => {
    if (error) {
        throw error;
    }
    library.setCommandHandler(command);
    client = mqtt.connect({ host: '127.0.0.1', port: given.mqtt, reconnectPeriod: 5000 });
    client.on('error', () => {});
    client.on('message', take);
    client.on('connect', () => {
        const topics = ROOTS.flatMap((root) => ['attrs', 'attrs/+', 'cmdexe'].map((word) => root + word));
        client.subscribe(topics, { qos: 0 }, () => say({ subscribed: true }));
    });
});
